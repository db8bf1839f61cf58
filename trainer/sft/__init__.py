"""Stage II's end: supervised fine-tuning on a built dataset."""
