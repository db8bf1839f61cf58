"""`rewright audit`: joins the command line by an entry point. Nothing heavy is imported before it runs.

Exit status: 0 the report is there; 1 the service stayed away, its rows are kept; 2 something to fix.
"""

import argparse
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from rewright.clients.cli.options import DEFAULT_URL, add_api_key_file, api_key_of, positive_count
from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    parser = commands.add_parser(
        "audit",
        help="look through an SFT set with the service before anything is trained",
        description="NLL, answers, certain faults, near-duplicates, lengths, diversity and evaluation questions of an "
        "SFT set in any layout of docs/data.md. Goes on where it stopped.",
    )
    parser.add_argument("data", metavar="DATA", help="a file, folder, glob, or hub:owner/name")
    parser.add_argument("--url", action="append", metavar="URL", help=f"the service (default {DEFAULT_URL})")
    parser.add_argument("--out", type=Path, default=Path("audit"), metavar="DIR", help="default: audit")
    parser.add_argument("--layout", metavar="NAME", help="absent: told by the columns")
    parser.add_argument(
        "--answer", metavar="COLUMN", help="gold answers (a dotted path); default: answer, where it is there"
    )
    parser.add_argument("--split", default="train", help="of a folder or hub data set (default train)")
    parser.add_argument("--sample", type=positive_count, metavar="N", help="so many rows at random")
    parser.add_argument(
        "--decontaminate", action="append", default=[], metavar="FILE", help="an evaluation file (repeatable)"
    )
    parser.add_argument(
        "--filtered", type=Path, metavar="FILE", help="write the rows without fault there, as JSON lines"
    )
    add_api_key_file(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    def work() -> object:
        from rewright.clients.http_client import RewardClient
        from rewright.clients.rows.layouts import LAYOUTS
        from rewright.clients.wire import RewrightError
        from rewright.trainer.audit.audit import AuditSettings, audit
        from rewright.trainer.errors import RecipeError, ServiceTrouble

        importlib.import_module("matplotlib")  # which draws the page, hours from now
        if options.layout is not None and options.layout not in LAYOUTS:
            raise RecipeError(f"--layout: there is no layout {options.layout!r}; there are {', '.join(LAYOUTS)}")
        settings = AuditSettings(
            options.data, options.layout, options.split, options.answer, options.sample, tuple(options.decontaminate)
        )
        try:
            with RewardClient(
                options.url or [DEFAULT_URL], api_key=api_key_of(options), deadline_s=None, patience_s=600
            ) as client:
                return audit(settings, options.out.expanduser(), client=client, filtered=options.filtered)
        except RewrightError as error:
            raise ServiceTrouble(error.message) from None

    return run_reporting(work)
