"""Stage I and Stage II of arXiv 2602.11220. Talks to the service only through `clients`."""
