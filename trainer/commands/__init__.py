"""Subcommands of `rewright` for training, building, evaluating and reporting; heavy imports wait until they run."""
