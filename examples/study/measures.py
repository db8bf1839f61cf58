"""What the study reports, from the folders that the product left: yields, likelihoods, accuracies, paired intervals.

Everything compared is compared on the same problems or questions, and every difference has the 95 % interval of its
mean over them (normal; there are hundreds). Verdicts that are missing are an error, never a number.
"""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewright.clients.http_client import RewardClient
from rewright.service.mathematics.reasoning.bare_answer import only_states_its_answer

Row = dict[str, Any]


class Difference(NamedTuple):
    """Mean of the differences and half of its 95 % interval; n: pairs."""

    mean: float
    half_width: float
    n: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def side(self) -> str:
        """`above`, `below`, or `undecided` where the interval holds 0."""
        return "above" if self.low > 0 else "below" if self.high < 0 else "undecided"


def difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """Of first minus second; None for fewer than two pairs."""
    if len(pairs) < 2:
        return None
    each = [a - b for a, b in pairs]
    return Difference(statistics.fmean(each), 1.96 * statistics.stdev(each) / math.sqrt(len(each)), len(each))


def rows_of(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def folder_of(work: Path, step: str) -> Path:
    """Where the pipeline's step left its output."""
    record = json.loads((work / "steps" / f"{step}.json").read_text(encoding="utf-8"))
    return work / str(record["folder"])


def built(work: Path, method: str) -> dict[str, Row]:
    """A data set's rows by their ids."""
    return {row["id"]: row for row in rows_of(folder_of(work, f"build-{method}") / "dataset.jsonl")}


def passed(row: Row) -> bool:
    return bool(row["origin"] != "reference")


def completion(row: Row) -> str:
    return str(row["completion"][-1]["content"])


def yields(first: Mapping[str, Row], second: Mapping[str, Row]) -> Difference | None:
    return difference([(passed(first[i]), passed(second[i])) for i in sorted(first.keys() & second.keys())])


class Likelihoods:
    """Log-probabilities of texts given their problems, as the service scores them; each is asked for once."""

    def __init__(self, client: RewardClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], list[float]] = {}

    def ask(self, pairs: Sequence[tuple[str, str]]) -> None:
        """pairs: problem and text."""
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if not new:
            return
        groups = [{"id": str(n), "problem": x, "candidates": [text]} for n, (x, text) in enumerate(new)]
        for pair, group in zip(new, self._client.nll(groups, tokens=True).groups, strict=True):
            item = group.candidates[0]
            if item.status != "scored" or item.tokens is None:
                raise RuntimeError(f"a text of the study has no likelihood: {item}")
            self._known[pair] = [token.logprob for token in item.tokens]

    def mean(self, problem: str, text: str) -> float:
        """eq. 6, nats a token."""
        return -statistics.fmean(self._known[problem, text])

    def alike(self, problem: str, first: str, second: str) -> tuple[float, float]:
        """The same over the first n tokens of both, n the length of the shorter."""
        a, b = self._known[problem, first], self._known[problem, second]
        n = min(len(a), len(b))
        return -statistics.fmean(a[:n]), -statistics.fmean(b[:n])


def verdicts(work: Path, label: str) -> dict[str, bool]:
    """Whether each question was answered rightly. Raises where an answer could not be checked."""
    folder = folder_of(work, f"evaluate-{label}")
    found = {row["id"]: row for row in rows_of(folder / "verdicts.jsonl")}
    failed = [name for name, row in found.items() if row["status"] != "scored"]
    if failed:
        raise RuntimeError(f"{label}: {len(failed)} answers have no verdict, {failed[0]} for one")
    return {name: bool(row["correct"]) for name, row in found.items()}


def accuracy(found: Mapping[str, bool], kind: str) -> float:
    """kind: `a` for arithmetic, `g` for general, with which the ids of questions begin."""
    mine = [right for name, right in found.items() if name.startswith(kind)]
    return sum(mine) / len(mine)


def accuracies(first: Mapping[str, bool], second: Mapping[str, bool], kind: str) -> Difference | None:
    return difference([(first[i], second[i]) for i in sorted(first.keys() & second.keys()) if i.startswith(kind)])


class Shape(NamedTuple):
    """How rewrites look: share that only states the answer, and tokens against the reference's, mean over problems."""

    bare: float
    length_ratio: float


def shape(rows: Mapping[str, Row]) -> Shape | None:
    """Of every candidate that was written, passed or not; None where nothing was."""
    written = [(row, attempt) for row in rows.values() for attempt in row["attempts"]]
    if not written:
        return None
    bare = [only_states_its_answer(problem=row["prompt"][-1]["content"], candidate=a["text"]) for row, a in written]
    ratios = [a["n_tokens"] / row["reference_n_tokens"] for row, a in written]
    return Shape(sum(bare) / len(bare), statistics.fmean(ratios))


def spread(rows: Mapping[str, Row]) -> float:
    """The share of groups in which some candidates pass and others do not: what a rewriter can learn from."""
    mixed = [0 < sum(a["scores"]["r_task"] for a in row["attempts"]) < len(row["attempts"]) for row in rows.values()]
    return sum(mixed) / len(mixed)
