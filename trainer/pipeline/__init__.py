"""All stages in a row, from one recipe."""
