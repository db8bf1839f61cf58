"""The `rewright` command and the subcommands that need only the client."""
