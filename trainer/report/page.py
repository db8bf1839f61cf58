"""The report as one HTML page with its figures inside, beside the Markdown that it is made of."""

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from rewright.clients.view.page import report


def html_of(markdown: str, folder: Path) -> str:
    """markdown: with pictures by their names in `folder`, which are put into the page. HTML in it is shown as text.

    Raises OSError for a picture that cannot be read.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in _all(tokens):
        # The page's policy knows no style attributes.
        if token.attrs.pop("style", "") == "text-align:right":
            token.attrs["class"] = "n"
        if token.type == "image":
            picture = (folder / str(token.attrs["src"])).read_bytes()
            token.attrs["src"] = "data:image/png;base64," + base64.b64encode(picture).decode()
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")
    return report("Report", body)


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())
