"""Stage II: generate, verify, fall back; a dataset folder at the end."""
