"""r_div: what each candidate adds to the diversity of its group."""
