"""The page as one HTML file that works without a server and can be mailed.

KaTeX, which formulas are typeset with, stands in it with its licence (`page/katex`).

Promises: nothing is loaded from anywhere (its own policy forbids it), only the scripts of this package run, and
texts reach the page as data of a JSON block that cannot end early; the page puts them in as text.
"""

import base64
import hashlib
import json
import re
from html import escape
from importlib.resources import files
from typing import Any

_PAGE = files("rewright.clients.view") / "page"


def html(document: dict[str, Any]) -> str:
    """document: as `rewright.clients.view.documents.document` makes it; with `examples`, requests by their names, the
    page has a form that posts to the server that it came from.
    """
    style = _style("style.css")
    script = _script()
    # ASCII, so that a lone surrogate is an escape; and no `<`, so that no text ends the block.
    data = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (_PAGE / "page.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'" + ("; connect-src 'self'" if "examples" in document else "")
    )
    for name, content in (("policy", policy), ("style", style), ("script", script), ("data", data)):
        page = page.replace("{{" + name + "}}", content, 1)
    return page


def report(title: str, body: str) -> str:
    """A report as a page of the same look that runs and loads nothing. body: HTML; pictures are `data:` addresses."""
    style = _style("report.css")
    policy = f"default-src 'none'; style-src '{_hash(style)}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _style(name: str) -> str:
    return "".join((_PAGE / file).read_text(encoding="utf-8") for file in ("colours.css", name))


def _script() -> str:
    """All modules as one, since a page from a file may load none."""
    modules = "\n".join(
        (_PAGE / name).read_text(encoding="utf-8")
        for name in (
            "rule.js",
            "parts.js",
            "controls.js",
            "ask.js",
            "jobs.js",
            "labels.js",
            "pairs.js",
            "formulas.js",
            "dataset.js",
            "sorts.js",
            "app.js",
        )
    )
    modules = re.sub(r"^import .*?;\n", "", modules, flags=re.MULTILINE | re.DOTALL)
    modules = re.sub(r"^export ", "", modules, flags=re.MULTILINE)
    return f'{_library()}\n(() => {{\n"use strict";\n{modules}\n}})();\n'


def _library() -> str:
    folder = _PAGE / "katex"
    licence, code = ((folder / name).read_text(encoding="utf-8") for name in ("LICENSE", "katex.min.js"))
    return f"/* KaTeX, https://katex.org\n\n{licence}*/\n{code}"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
