"""Samples on disk, to be drawn from: their texts in one file, and in memory some twenty bytes for each.

Promises: samples come back in the order of the draw, whatever the order in which they were put in; a pool that was
finished is taken up again by the next run of the same settings; one that was not, or of other settings, is made anew.
"""

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewright.trainer.data.samples import Sample
from rewright.trainer.data.split import Stage
from rewright.trainer.data.whole_files import write_text

_STAGES: tuple[Stage, Stage] = ("one", "two")


class Pool:
    """Write with `add` and `finish`; read with `order` and `samples`."""

    def __init__(self, folder: Path) -> None:
        self._texts = folder / "pool.jsonl"
        self._index = folder / "pool.index"
        self._finished = folder / "pool.json"
        self._offsets = array("Q")
        self._places = array("d")
        self._stages = array("b")
        self._out: Any = None
        self.facts: dict[str, Any] = {}

    def load(self, settings: Mapping[str, Any]) -> bool:
        """Whether a finished pool of these settings is there."""
        if not self._finished.is_file():
            return False
        facts = json.loads(self._finished.read_text(encoding="utf-8"))
        if facts["settings"] != settings:
            return False
        with self._index.open("rb") as index:
            for column in (self._offsets, self._places, self._stages):
                column.fromfile(index, facts["samples"])
        self.facts = facts
        return True

    def add(self, sample: Sample, *, stage: Stage, place: float) -> int:
        """The sample's number."""
        if self._out is None:
            self._texts.parent.mkdir(parents=True, exist_ok=True)
            self._finished.unlink(missing_ok=True)
            self._out = self._texts.open("wb")
        self._offsets.append(self._out.tell())
        self._places.append(place)
        self._stages.append(_STAGES.index(stage))
        self._out.write(sample.as_json().encode() + b"\n")
        return len(self._offsets) - 1

    def drop(self, number: int) -> None:
        """Leave a sample out of every order."""
        self._stages[number] = -1

    def finish(self, facts: Mapping[str, Any]) -> None:
        """All samples are in; facts: what a run that takes the pool up again must know, with its settings."""
        if self._out is not None:
            self._out.close()
            with self._index.open("wb") as index:
                for column in (self._offsets, self._places, self._stages):
                    column.tofile(index)
        self.facts = {**facts, "samples": len(self._offsets)}
        if self._out is not None:
            write_text(self._finished, json.dumps(self.facts, ensure_ascii=False))

    def order(self, stage: Stage) -> "array[int]":
        """Numbers of a stage's samples in the order of the draw."""
        wanted = _STAGES.index(stage)
        numbers = [n for n, found in enumerate(self._stages) if found == wanted]
        numbers.sort(key=lambda n: (self._places[n], n))
        return array("Q", numbers)

    def samples(self, numbers: Sequence[int]) -> list[Sample]:
        """In the order of the numbers."""
        read = []
        with self._texts.open("rb") as texts:
            for number in numbers:
                texts.seek(self._offsets[number])
                read.append(Sample(**json.loads(texts.readline())))
        return read

    def remove(self) -> None:
        """When the corpus is there, the pool is of no use any more."""
        for file in (self._finished, self._index, self._texts):
            file.unlink(missing_ok=True)
