"""Groups and their rewards as a page to look at: read from files, written as one HTML file."""
