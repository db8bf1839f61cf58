"""How a call travels: batches, retries within a deadline, several addresses, errors."""
