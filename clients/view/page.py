"""The page as one HTML file that works without a server and can be mailed.

Promises: nothing is loaded from anywhere (its own policy forbids it), only the two scripts of this package run, and
texts reach the page as data of a JSON block that cannot end early; the page puts them in as text.
"""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

_PAGE = files("rewright.clients.view") / "page"


def html(document: dict[str, Any]) -> str:
    """document: as `rewright.clients.view.documents.document` makes it."""
    style = (_PAGE / "style.css").read_text(encoding="utf-8")
    script = _script()
    # ASCII, so that a lone surrogate is an escape; and no `<`, so that no text ends the block.
    data = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (_PAGE / "page.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    for name, content in (("policy", policy), ("style", style), ("script", script), ("data", data)):
        page = page.replace("{{" + name + "}}", content, 1)
    return page


def _script() -> str:
    """Both modules as one, since a page from a file may load none."""
    rule, app = ((_PAGE / name).read_text(encoding="utf-8") for name in ("rule.js", "app.js"))
    rule = re.sub(r"^export ", "", rule, flags=re.MULTILINE)
    app = re.sub(r"^import .*?;\n", "", app, flags=re.MULTILINE | re.DOTALL)
    return f'"use strict";\n(() => {{\n{rule}\n{app}\n}})();\n'


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
