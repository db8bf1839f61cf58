"""Reading and comparing mathematics in text: final answers and stated equations. No scorer, no HTTP, no torch."""
