"""`rewright view`: groups and their rewards as one page, opened in a browser or written to a file."""

import argparse
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

from rewright.clients.cli.options import add_rule, rule_of
from rewright.clients.view.data_sets import compared
from rewright.clients.view.documents import KNOWN, document
from rewright.clients.view.page import html
from rewright.clients.view.service_page import is_address, page_address
from rewright.service.errors import InvalidRequest

DESCRIPTION = f"""\
Show groups side by side: gates, rewards in parts, tokens by likelihood, and what other λs would make of them.

FILE: {KNOWN}; a file, a folder or a glob. With --before, a data
set of any layout, shown row by row beside the one that it was made of.
URL: a service's address, such as http://127.0.0.1:8000; its own page at /ui is opened, where groups can be scored.

The page is one file that loads nothing: it can be mailed. Without --out it is written to a temporary file and opened in
the browser. The options of the rule say by which rule the totals were made; controls in the page start from it.
"""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `rewright view` and its options."""
    parser = commands.add_parser(
        "view",
        help="look at groups and their rewards in a browser",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE|URL", help="see above")
    parser.add_argument("--groups", metavar="FILE", help="the groups that were scored, for their texts, found by id")
    parser.add_argument("--before", metavar="FILE", help="the data set that FILE was made of: its rows stand beside")
    parser.add_argument("--out", type=Path, metavar="FILE.html", help="write the page here and open nothing")
    add_rule(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Raises `InvalidRequest` for a file of no known form, and what `page_address` raises for a service."""
    if is_address(options.file):
        return _open_service(options)
    page = html(_shown(options))
    if options.out is not None:
        options.out.write_text(page, encoding="utf-8")
        print(f"{options.out}: {len(page) / 1e6:.1f} MB")
        return 0
    with tempfile.NamedTemporaryFile("w", suffix=".html", prefix="rewright-", delete=False, encoding="utf-8") as file:
        file.write(page)
    print(file.name)
    webbrowser.open(Path(file.name).as_uri())
    return 0


def _open_service(options: argparse.Namespace) -> int:
    if named := [name for name in ("groups", "before", "out") if getattr(options, name) is not None]:
        raise InvalidRequest(f"--{named[0]} is for files; the page of a service shows what is scored in it")
    address = page_address(options.file)
    print(address)
    webbrowser.open(address)
    return 0


def _shown(options: argparse.Namespace) -> dict[str, Any]:
    if options.before is not None:
        if options.groups is not None:
            raise InvalidRequest("--groups are the texts of scores, and --before is a data set: name one of them")
        return compared(options.before, options.file)
    rule = rule_of(options).model_dump(mode="json", exclude_none=True)
    return document(options.file, groups=options.groups, rule=rule)
