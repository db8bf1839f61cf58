"""What was left out of a corpus: a line for each row in a file that grows, and counts by reason.

Promises: lines come in the order of the run and are cut back to where a run that is taken up again stood.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rewright.trainer.data.samples import LeftOut

_FIRST = 5


class Listing:
    """`left_out.jsonl` of a folder. Nothing is written before there is something to write."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "left_out.jsonl"
        self._out: Any = None
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = {}

    def add(self, left: LeftOut) -> None:
        self.count(left.reason)
        if len(ids := self.first.setdefault(left.reason, [])) < _FIRST:
            ids.append(left.id)
        if self._out is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._out = self._file.open("wb")
        said = {name: text for name, text in left._asdict().items() if text}
        self._out.write(json.dumps(said).encode() + b"\n")

    def extend(self, many: Iterable[LeftOut]) -> None:
        for left in many:
            self.add(left)

    def count(self, reason: str) -> None:
        """A row that is counted without being listed."""
        self.counts[reason] += 1

    def state(self) -> dict[str, Any]:
        """What `resume` needs; the lines so far are with the system by then."""
        if self._out is not None:
            self._out.flush()
        size = self._out.tell() if self._out is not None else 0
        return {"bytes": size, "counts": dict(self.counts), "first": self.first}

    def resume(self, state: Mapping[str, Any]) -> None:
        self.counts = Counter(state["counts"])
        self.first = {reason: list(ids) for reason, ids in state["first"].items()}
        if state["bytes"]:
            self._out = self._file.open("r+b")
            self._out.truncate(state["bytes"])
            self._out.seek(state["bytes"])

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
