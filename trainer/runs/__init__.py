"""What every kind of run needs: its folder, resuming, stopping, provenance, checks before the start."""
