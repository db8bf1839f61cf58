"""How well a judge tells sound reasoning from unsound, on rows that people labelled: pure arithmetic and a table.

Promises: a row without a score (the judge failed) is counted and enters no figure; every figure names how many rows it
rests on. Not covered: asking the judge (`judge_eval_command`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

FALSE_POSITIVES = 0.1
"""Share of unsound rows let through at which the true-positive rate is read off."""


@dataclass(frozen=True)
class Judged:
    """One labelled row and what the judge made of it. score: P(valid), None where it failed."""

    valid: bool
    category: str
    score: float | None
    certain: bool = False
    """It failed a check that needs no model."""


class Curve(NamedTuple):
    """Shares let through at falling thresholds, both rising from 0 to 1."""

    thresholds: list[float]
    false_positives: list[float]
    true_positives: list[float]


class AtThreshold(NamedTuple):
    threshold: float
    accuracy: float
    precision: float | None
    """Of "valid"; None where nothing is called valid."""
    true_positives: float
    false_positives: float


class Line(NamedTuple):
    """One category of unsound rows against all sound ones."""

    category: str
    rows: int
    auroc: float
    at_few_false_positives: float
    certain: float
    """Share of the category's rows that fail without a model."""
    passed: float
    """Share of them that the threshold lets through."""


def auroc(sound: Sequence[float], unsound: Sequence[float]) -> float:
    """P(a sound row scores higher than an unsound one), a tie counting half. Both must hold a row."""
    ranked = sorted([(score, True) for score in sound] + [(score, False) for score in unsound])
    below = pairs = 0.0
    at = 0
    while at < len(ranked):
        end = at
        while end < len(ranked) and ranked[end][0] == ranked[at][0]:
            end += 1
        good = sum(valid for _, valid in ranked[at:end])
        bad = end - at - good
        pairs += good * (below + bad / 2)
        below += bad
        at = end
    return pairs / (len(sound) * len(unsound))


def curve(sound: Sequence[float], unsound: Sequence[float]) -> Curve:
    thresholds = sorted({*sound, *unsound}, reverse=True)
    rates = [(at, _share(unsound, at), _share(sound, at)) for at in thresholds]
    return Curve([1.0, *(r[0] for r in rates)], [0.0, *(r[1] for r in rates)], [0.0, *(r[2] for r in rates)])


def at_threshold(sound: Sequence[float], unsound: Sequence[float], threshold: float) -> AtThreshold:
    true, false = (sum(score >= threshold for score in scores) for scores in (sound, unsound))
    return AtThreshold(
        threshold=threshold,
        accuracy=(true + len(unsound) - false) / (len(sound) + len(unsound)),
        precision=true / (true + false) if true + false else None,
        true_positives=true / len(sound),
        false_positives=false / len(unsound),
    )


def suggested_threshold(sound: Sequence[float], unsound: Sequence[float]) -> float:
    """Where the shares of sound rows let through and of unsound rows kept out are highest together. It lies half way
    to the next score below, so that a rounding of the judge's does not decide."""
    c = curve(sound, unsound)
    gains = [true - false for true, false in zip(c.true_positives, c.false_positives, strict=True)]
    best = max(range(1, len(gains)), key=gains.__getitem__)
    below = c.thresholds[best + 1] if best + 1 < len(c.thresholds) else 0.0
    return (c.thresholds[best] + below) / 2


def by_category(rows: Iterable[Judged], threshold: float) -> list[Line]:
    """Each category of unsound rows, then all of them, against all sound rows."""
    sound, unsound = split(rows)
    groups: Mapping[str, list[Judged]] = unsound
    everything = [row for members in groups.values() for row in members]
    return [_line(name, sound, members, threshold) for name, members in [*sorted(groups.items()), ("all", everything)]]


def split(rows: Iterable[Judged]) -> tuple[list[Judged], dict[str, list[Judged]]]:
    """Scored rows: the sound ones, and the unsound ones by category."""
    sound: list[Judged] = []
    unsound: dict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        if row.score is not None:
            (sound if row.valid else unsound[row.category]).append(row)
    return sound, dict(unsound)


def scores(rows: Iterable[Judged]) -> list[float]:
    return [row.score for row in rows if row.score is not None]


def _line(name: str, sound: Sequence[Judged], members: Sequence[Judged], threshold: float) -> Line:
    good, bad = scores(sound), scores(members)
    limit = sorted(bad, reverse=True)[int(FALSE_POSITIVES * len(bad))]
    return Line(
        category=name,
        rows=len(members),
        auroc=auroc(good, bad),
        at_few_false_positives=sum(score > limit for score in good) / len(good),
        certain=sum(row.certain for row in members) / len(members),
        passed=_share(bad, threshold),
    )


def _share(values: Sequence[float], threshold: float) -> float:
    return sum(value >= threshold for value in values) / len(values)
