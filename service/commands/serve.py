"""`rewright serve`: the service in the foreground. The command line is `rewright.clients.cli.main`; an entry point
joins them.
"""

import argparse
from pathlib import Path


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command (the protocol of `rewright.clients.cli.main`)."""
    parser = commands.add_parser(
        "serve",
        help="run the reward service",
        description="Run the reward service until SIGTERM or Ctrl-C. Settings come from the environment (REWRIGHT_…) "
        "and from a YAML file; the environment wins. Without any: embedded models on 127.0.0.1:8000.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings as YAML (default: what REWRIGHT_CONFIG names)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """The service's exit status."""
    from rewright.service.__main__ import main

    return main(options.config)
