"""One group's way through the gate, and the arithmetic of its reward."""
