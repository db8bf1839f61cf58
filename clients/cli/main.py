"""The command `rewright`: finds the commands, runs one, and turns trouble into a line and an exit status.

Other packages add commands through the entry-point group `rewright.commands`. Each entry point is named as its command
and loads to a function

    def add(commands: argparse._SubParsersAction) -> None

that adds its parser (`parser = commands.add_parser(name, help=…)`) and says what runs it
(`parser.set_defaults(run=function)`), where `function(options: argparse.Namespace) -> int` gives the exit status.
It is loaded for every `rewright --help`, so heavy imports belong inside `function`. A user's mistake is raised as a
`rewright.service.errors` exception, and shown without a traceback.

Exit status: 0 well; 1 something could not be scored, or the service failed; 2 the user's mistake; 130 interrupted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from pydantic import ValidationError

from rewright.clients.cli import bench, info, score, view
from rewright.clients.transport.batches import first_fix
from rewright.service.errors import Overloaded, RequestError, RewrightError, SettingsError

GROUP = "rewright.commands"
EXTRAS = {"rewright.service": "service", "rewright.trainer": "trainer"}
"""The extra of the distribution that a package's commands need."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; never raises but for a bug."""
    try:
        options = _parser().parse_args(argv)
        return _run(options)
    except SystemExit as done:  # argparse has spoken
        return done.code if isinstance(done.code, int) else 2
    except KeyboardInterrupt:
        # One more ends the process at once; Python would raise it wherever it stands by then, with a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        print("rewright: stopped", file=sys.stderr)
        return 130
    except (OSError, ValidationError, RewrightError) as trouble:
        return _said(trouble)


def _run(options: argparse.Namespace) -> int:
    """The command's exit status. Raises `SettingsError` where a package of an extra that it needs is not installed."""
    try:
        return int(options.run(options))
    except ModuleNotFoundError as missing:
        extra = _extra_of(options.run.__module__)
        # A module of ours that is not there is a bug, or half an installation, which no extra repairs.
        if extra is None or (missing.name or "rewright").startswith("rewright"):
            raise
        raise SettingsError(f"this command needs more than is installed ({missing}); {_fix(extra)}") from missing


def _extra_of(module: str) -> str | None:
    return next((extra for package, extra in EXTRAS.items() if module.startswith(package + ".")), None)


def _fix(extra: str) -> str:
    return f"pip install 'rewright[{extra}]'"


def _said(trouble: Exception) -> int:
    """Tell of it in a line; the exit status."""
    status = 1
    match trouble:
        case BrokenPipeError():
            # Whoever read standard output has left; Python would complain once more when it closes it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            message = "nobody reads the output any more; stopped"
        case ValidationError():
            message, status = first_fix(trouble), 2
        case Overloaded():
            message = trouble.message
        case RequestError() | SettingsError():
            message, status = trouble.message, 2
        case RewrightError():
            message = trouble.message
        case _:  # a full disk, say
            message = str(trouble)
    print(f"rewright: {message}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rewright",
        description="Gated rewards for rewriting agents (arXiv 2602.11220). Try: rewright COMMAND --help",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (score, view, bench, info):
        module.add(commands)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        _join(commands, entry)
    return parser


def _join(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", entry: EntryPoint) -> None:
    """Add another package's command; one whose package cannot be imported says what to install."""
    try:
        entry.load()(commands)
    except ImportError as error:
        extra = _extra_of(entry.module)
        fix = _fix(extra) if extra else f"reinstall the package that offers {entry.value}"
        message = f"the command {entry.name} needs more than is installed ({error}); {fix}"

        def absent(options: argparse.Namespace) -> int:
            raise SettingsError(message)

        parser = commands.add_parser(entry.name, help=f"not installed: {fix}", add_help=False, prefix_chars="\0")
        parser.add_argument("rest", nargs="*")
        parser.set_defaults(run=absent)


def _version() -> str:
    try:
        return version("rewright")
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
