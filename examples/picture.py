"""Draw one real group: its candidates, the gate each one meets, and what its total is made of.

    python examples/picture.py [FILE]          # docs/one-group.svg; a FILE that ends in .png gives a PNG

Starts the service on the embedded models, posts `groups.json` as `make demo` does, and draws what came back for the
group `prime-choice`. The numbers are never written by hand. Needs matplotlib (the extra `trainer`).
"""

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from service_process import running_service

HERE = Path(__file__).resolve().parent
BODY = HERE / "groups.json"
PICTURE = HERE.parent / "docs" / "one-group.svg"
GROUP = "prime-choice"

# A background of its own: the page behind may be light or dark.
PAPER, INK, FAINT, LINE = "#fcfbf8", "#1f2430", "#6b7280", "#d9d6cf"
OPEN, SHUT = "#22713f", "#b3261e"
PARTS = {"r_task": "#33658a", "r_dist": "#e09f3e", "r_div": "#6a994e"}

# Places, in tenths of an inch: x of each column, y of the rows from the top.
WIDTH, ROW, TOP, BOTTOM = 110.0, 7.6, 17.0, 5.0
TEXT_X, ANSWER_X, REASONING_X, GATE_X, BAR_X, BAR_UNIT = 2.5, 42.0, 50.0, 59.5, 71.0, 16.0
TEXT_COLUMNS = 52


def main() -> int:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    with running_service() as url:
        response = httpx.post(f"{url}/v1/reward", content=BODY.read_bytes(), timeout=300)
        response.raise_for_status()
    asked = _group(json.loads(BODY.read_text(encoding="utf-8")))
    draw(asked, _group(response.json()), file)
    print(f"wrote {file}")
    return 0


def draw(asked: dict[str, Any], answered: dict[str, Any], file: Path) -> None:
    """asked: the group as it was posted; answered: the same group of the answer of /v1/reward. λ is 1 in both."""
    rows = list(zip(asked["candidates"], answered["candidates"], strict=True))
    height = TOP + ROW * len(rows) + BOTTOM
    figure = Figure(figsize=(WIDTH / 10, height / 10), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    _head(axes, asked)
    for k, (text, candidate) in enumerate(rows):
        _row(axes, TOP + ROW * k, text, candidate)
    _write(
        axes,
        TEXT_X,
        height - 2.4,
        "A candidate that the service could not score has no total at all: a failure is never 0.0.   "
        "(Real answers on the embedded models, whose judge is a stand-in.)",
        color=FAINT,
        fontsize=8.5,
    )
    # Text as outlines looks alike everywhere; without date and random ids the same run gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": GROUP}):
        figure.savefig(file, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)


def _head(axes: Axes, asked: dict[str, Any]) -> None:
    _write(axes, TEXT_X, 4.0, " ".join(asked["problem"].split()), fontsize=13, fontweight="bold")
    _write(
        axes, TEXT_X, 7.2, f"One group: {len(asked['candidates'])} candidates of one problem", color=FAINT, fontsize=9.5
    )
    for x, lines in (
        (TEXT_X, "candidate"),
        (ANSWER_X, "answer\nright?"),
        (REASONING_X, "reasoning\nsound?"),
        (GATE_X, "gate"),
    ):
        _write(axes, x, TOP - 4.0, lines, color=FAINT, fontsize=9.5)
    _write(axes, BAR_X, TOP - 5.2, "total  =  r_task · (1 + r_dist + r_div)", color=FAINT, fontsize=9.5)
    for x, part, meaning in (
        (BAR_X, "r_task", "right, sound"),
        (BAR_X + 11.5, "r_dist", "π0 would say it"),
        (BAR_X + 25.0, "r_div", "unlike the rest"),
    ):
        axes.add_patch(Rectangle((x, TOP - 3.3), 1.1, 1.1, color=PARTS[part], linewidth=0))
        _write(axes, x + 1.8, TOP - 2.7, meaning, color=FAINT, fontsize=8.5)


def _row(axes: Axes, top: float, text: str, candidate: dict[str, Any]) -> None:
    middle = top + ROW / 2
    axes.plot([TEXT_X, WIDTH - 2.5], [top, top], color=LINE, linewidth=0.8)
    shown = "\n".join(textwrap.wrap(text, TEXT_COLUMNS, max_lines=3, placeholder=" …")) or "(blank)"
    _write(axes, TEXT_X, middle, shown, fontsize=8.5, family="monospace", linespacing=1.25)
    for x, verdict in ((ANSWER_X, candidate["v_ans"]), (REASONING_X, candidate["v_rea"])):
        word, colour = {1: ("yes", OPEN), 0: ("no", SHUT), None: ("not asked", FAINT)}[verdict]
        _write(axes, x, middle, word, color=colour, fontsize=9.5)
    _gate(axes, middle, candidate)
    axes.plot([BAR_X, BAR_X], [middle - 2.6, middle + 0.8], color=FAINT, linewidth=1)
    if candidate["total"] is not None:
        _bar(axes, middle, candidate)


def _gate(axes: Axes, middle: float, candidate: dict[str, Any]) -> None:
    name = candidate["gate"] or candidate["error"]["code"]
    colour = OPEN if name == "open" else SHUT
    box = FancyBboxPatch((GATE_X, middle - 1.2), 9.0, 2.4, boxstyle="round,pad=0,rounding_size=1", color=colour)
    axes.add_patch(box)
    _write(axes, GATE_X + 4.5, middle, name, color="white", fontsize=9, ha="center", fontweight="bold")


def _bar(axes: Axes, middle: float, candidate: dict[str, Any]) -> None:
    x = BAR_X
    for part, colour in PARTS.items():
        width = BAR_UNIT * (candidate[part] or 0) if candidate["r_task"] else 0
        axes.add_patch(Rectangle((x, middle - 2.0), width, 2.4, color=colour, linewidth=0))
        x += width
    _write(axes, x + 0.8, middle - 0.8, f"{candidate['total']:.3f}", fontsize=10.5, fontweight="bold")
    if candidate["nll"] is None:
        parts = "π0 and embedder are not asked"
    else:
        parts = f"nll {candidate['nll']:.2f}   r_dist {candidate['r_dist']:.3f}   r_div {candidate['r_div']:.3f}"
    _write(axes, BAR_X, middle + 1.7, parts, color=FAINT, fontsize=8)


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, **{"color": INK, "va": "center", "parse_math": False} | style)


def _group(body: dict[str, Any]) -> dict[str, Any]:
    return next(group for group in body["groups"] if group["id"] == GROUP)


if __name__ == "__main__":
    sys.exit(main())
