"""The numbers of a built dataset, read from its rows one by one: yield, NLL before and after, lengths.

Not covered: the diversity, which the service computes (`rewright.trainer.build.checks`).
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rewright.trainer.build.rows import ORIGINS


@dataclass
class BuildNumbers:
    """Lists are aligned: one entry per row in order, None where a text has no NLL. Lengths in π0's tokens."""

    origins: list[str] = field(default_factory=list)
    nll: list[float | None] = field(default_factory=list)
    reference_nll: list[float | None] = field(default_factory=list)
    length: list[int | None] = field(default_factory=list)
    reference_length: list[int | None] = field(default_factory=list)
    gates: Counter[str] = field(default_factory=Counter)
    """Over every candidate that was written."""
    cut_off: int = 0
    """Candidates that ended at the token limit."""
    written: Counter[str] = field(default_factory=Counter)
    """Candidates by the origin that a row with them would have; those of them that passed, and their tokens:"""
    passed: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> dict[str, int]:
        return {origin: n for origin in ORIGINS if (n := self.origins.count(origin))}

    @property
    def task_yield(self) -> float | None:
        """The share of samples with a candidate that passed; None where nothing was written."""
        if not self.gates:
            return None
        return 1 - self.origins.count("reference") / len(self.origins)

    def attempts(self) -> dict[str, dict[str, int]]:
        """What was written, what of it passed, and what it cost, by origin."""
        return {
            origin: {"written": written, "passed": self.passed[origin], "tokens": self.tokens[origin]}
            for origin, written in sorted(self.written.items())
        }

    def nll_by_origin(self) -> dict[str, float]:
        return {origin: m for origin in self.counts if (m := mean(self._of(origin, self.nll))) is not None}

    def reference_nll_by_origin(self) -> dict[str, float]:
        """Of the references of the same rows: what each origin's mean is to be compared with."""
        return {origin: m for origin in self.counts if (m := mean(self._of(origin, self.reference_nll))) is not None}

    def _of(self, origin: str, values: Sequence[float | None]) -> list[float | None]:
        return [value for which, value in zip(self.origins, values, strict=True) if which == origin]


def numbers_of(rows: Iterable[dict[str, Any]]) -> BuildNumbers:
    found = BuildNumbers()
    for row in rows:
        found.origins.append(row["origin"])
        found.nll.append(row["nll"])
        found.reference_nll.append(row["reference_nll"])
        found.length.append(row["n_tokens"])
        found.reference_length.append(row["reference_n_tokens"])
        found.gates.update(attempt["scores"]["gate"] for attempt in row["attempts"])
        for attempt in row["attempts"]:
            found.written[attempt["step"]] += 1
            found.passed[attempt["step"]] += attempt["scores"]["r_task"] == 1
            found.tokens[attempt["step"]] += attempt["n_tokens"]
        found.cut_off += sum(attempt["finish_reason"] == "length" for attempt in row["attempts"])
    return found


def mean(values: Iterable[float | int | None]) -> float | None:
    """Of those that are there; None where none is."""
    there = [value for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None
