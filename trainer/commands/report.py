"""`rewright report`: joins the command line by an entry point. Nothing heavy is imported before it runs."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rewright.trainer.commands.exit_status import run_reporting

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add(commands: "Commands") -> None:
    parser = commands.add_parser(
        "report",
        help="the paper's tables and figures from run folders",
        description="Tables 1 to 7 and figures 2 to 4 as Markdown and one HTML page, the paper's numbers beside.",
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS", help="run folders, or folders that hold some")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="default: report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    def work() -> object:
        from rewright.trainer.report.report import write_report

        return write_report([folder.expanduser() for folder in options.runs], options.out.expanduser())

    return run_reporting(work)
