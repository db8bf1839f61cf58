"""The room of π0: locating, loading, rendering and scoring it. Shared with the trainer; no HTTP, no scorer."""
