"""The table of docs/data.md: which published layout each command reads out of the box, by name, or refuses.

`make layouts-table` writes it there, and tests/clients/rows/test_layouts_table.py holds it. Every cell is tried on the
small files of `tests.clients.rows.published`: a way counts where it gives exactly the rows that are to be kept.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.clients.cli.group_rows import Columns, GroupRows  # noqa: E402
from rewright.service.errors import InvalidRequest  # noqa: E402
from rewright.trainer.data.conversations import examples  # noqa: E402
from rewright.trainer.data.samples import read_all  # noqa: E402
from rewright.trainer.errors import CorpusError  # noqa: E402
from rewright.trainer.recipes.blocks import Source  # noqa: E402
from tests.clients.rows.published import PUBLISHED, Published  # noqa: E402

PAGE = ROOT / "docs" / "data.md"
BEGIN, END = "<!-- layouts -->\n", "<!-- end of layouts -->\n"
Rows = list[tuple[str, str, str]]


def table() -> str:
    lines = ["| data | corpus | `score` | `train sft`, `audit` |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for data in PUBLISHED:
            path = data.write(Path(folder))
            cells = (_corpus(path, data), _score(Path(folder), data), _sft(path, data))
            lines.append(f"| {data.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def written(page: str) -> str:
    """The page with the table of now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def _corpus(path: str, data: Published) -> str:
    def read(layout: str) -> Rows:
        return [(s.problem, s.reference, s.answer or "") for s in read_all(Source(path=path, layout=layout))]

    ways = {"as it is": lambda: read("columns"), f"`layout: {data.layout}`": lambda: read(data.layout)}
    return _first(ways, data) or "refused: there are no solutions, and a corpus needs y*"


def _score(folder: Path, data: Published) -> str:
    """With a column of candidates beside those that are published, as rollouts are kept."""
    rows = [row | {"candidates": ["c"]} if isinstance(row, dict) else [*row, ["c"]] for row in data.rows]
    (folder / "rollouts.json").write_text(json.dumps(rows), encoding="utf-8")
    column = {"candidates": "2"} if isinstance(rows[0], list) else {}

    def read(*, needs_reference: bool = True, **columns: str) -> Rows:
        source = GroupRows(str(folder / "rollouts.json"), Columns(**columns, **column), needs_reference)
        return [(group.problem or "", group.reference or "", group.answer or "") for _, group in source]

    named = f"`--layout {data.layout}`"
    ways = {
        "as it is": read,
        named: lambda: read(layout=data.layout),
        f"{named} `--reasoning off`": lambda: read(layout=data.layout, needs_reference=False),
    }
    return _first(ways, data) or "refused"


def _sft(path: str, data: Published) -> str:
    """Here rows may be of use whose gold is none, and conversations of several turns."""

    def read(layout: str | None) -> Rows:
        found = [
            (e.prompt[-1]["content"].strip(), e.response.strip())
            for e in examples(path, layout=layout)
            if e.reason is None and e.response.strip()
        ]
        return [kept for kept in data.kept if kept[:2] in found] if all(kept[1] for kept in data.kept) else []

    ways = {"as it is": lambda: read(None), f"`data.layout={data.layout}`": lambda: read(data.layout)}
    return _first(ways, data) or "refused: there are no solutions"


def _first(ways: dict[str, Callable[[], Rows]], data: Published) -> str | None:
    kept = sorted((problem, solution, answer or "") for problem, solution, answer in data.kept)
    for name, read in ways.items():
        try:
            if sorted((problem, solution, answer or "") for problem, solution, answer in read()) == kept:
                return name
        except (CorpusError, InvalidRequest):
            continue
    return None


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
