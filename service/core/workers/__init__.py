"""Killable processes with limits on CPU seconds and memory, for work that cannot be trusted to end."""
