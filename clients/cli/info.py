"""`rewright info`: what a service is made of, as JSON, and its warnings."""

import argparse
import json
import sys

from rewright.clients.cli.options import add_api_key_file, api_key_of, positive
from rewright.clients.http_client import RewardClient


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rewright info` and its options."""
    parser = commands.add_parser(
        "info",
        help="show a service's models and settings",
        description="Print /v1/info of a service as JSON; its warnings go to standard error.",
    )
    parser.add_argument("url", metavar="URL", help="the service, such as http://127.0.0.1:8000")
    parser.add_argument("--deadline-s", type=positive, default=10.0, metavar="S", help="longest wait (default 10)")
    add_api_key_file(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print; 0. Raises errors of `rewright.service.errors` where the service does not answer."""
    with RewardClient(options.url, api_key=api_key_of(options), deadline_s=options.deadline_s) as client:
        info = client.info()
    print(json.dumps(info, indent=2, ensure_ascii=False))
    for warning in info.get("warnings", ()):
        print(f"warning: {warning}", file=sys.stderr)
    return 0
