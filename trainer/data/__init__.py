"""From files to samples: reading, filtering, splitting, and the prompts made of them."""
