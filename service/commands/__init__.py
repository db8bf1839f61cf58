"""Subcommands of `rewright` that need the service's own code; they join through entry points."""
