"""Scorers that stand at the protocol: what they say of a candidate is written in the candidate's own text.

A candidate such as `ans=1 rea=0 nll=0.5 e=0.1` is answered accordingly; `fail=CODE@SCORER` makes that scorer fail it.
`e` is a number on a circle (radians) whose point is the candidate's embedding, so diversity is real arithmetic.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from rewright.service.schema import (
    DiversityGroup,
    DiversityScored,
    Failed,
    Group,
    JudgeGroup,
    JudgeScored,
    NllGroup,
    NllScored,
    TokenLogprob,
    VerifyGroup,
    VerifyScored,
)
from rewright.service.scorers.base import Scorers

NEVER = 3600.0
"""A delay that no test waits for."""


def said(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split() if "=" in part)


class PlainScorer:
    """Common to all four: counts what it was asked, waits `delay` seconds, raises `trouble` when set. `begun` and
    `cancelled` count calls. `_group` is told whether the option of that scorer is on.
    """

    name = ""

    def __init__(self, *, delay: float = 0.0, trouble: Exception | None = None) -> None:
        self.delay = delay
        self.trouble = trouble
        self.asked: list[str] = []
        self.begun = 0
        self.cancelled = 0
        self._worked: float | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def describe(self) -> dict[str, Any]:
        return {"model": f"plain-{self.name}"}

    def last_worked(self) -> float | None:
        return self._worked

    async def score(self, groups: Sequence[Group], *, tokens: bool = False, similarities: bool = False) -> list[Any]:
        self.begun += 1
        try:
            await asyncio.sleep(self.delay)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.trouble is not None:
            raise self.trouble
        self.asked += [text for group in groups for text in group.candidates]
        self._worked = time.monotonic()
        return [self._group(group, tokens or similarities) for group in groups]

    def _items(self, group: Group, one: Callable[[dict[str, str]], Any]) -> list[Any]:
        return [self._failure(facts) or one(facts) for facts in map(said, group.candidates)]

    def _failure(self, facts: dict[str, str]) -> Failed | None:
        code, _, scorer = facts.get("fail", "").partition("@")
        retryable = code not in {"too_long", "bad_gold", "blank"}
        return Failed.because(code, "as the test says", retryable=retryable) if scorer == self.name else None

    def _group(self, group: Group, more: bool) -> Any:
        raise AssertionError("each scorer has its own")


class PlainVerifier(PlainScorer):
    name = "verify"

    def _group(self, group: Group, more: bool) -> VerifyGroup:
        def one(facts: dict[str, str]) -> VerifyScored:
            verdict = facts.get("verdict", "correct" if facts.get("ans", "1") == "1" else "wrong")
            return VerifyScored(correct=verdict == "correct", verdict=verdict, extracted="42")  # type: ignore[arg-type]

        return VerifyGroup(id=group.id or "", candidates=self._items(group, one))


class PlainJudge(PlainScorer):
    name = "judge"

    def _group(self, group: Group, more: bool) -> JudgeGroup:
        def one(facts: dict[str, str]) -> JudgeScored:
            verdict = facts.get("judged", "valid" if facts.get("rea", "1") == "1" else "invalid")
            return JudgeScored(valid=verdict == "valid", score=None, verdict=verdict)  # type: ignore[arg-type]

        return JudgeGroup(id=group.id or "", candidates=self._items(group, one))


class PlainNll(PlainScorer):
    name = "nll"

    def _group(self, group: Group, more: bool) -> NllGroup:
        def one(facts: dict[str, str]) -> NllScored:
            nll = float(facts.get("nll", "1"))
            return NllScored(
                nll=nll,
                n_tokens=2,
                control_tokens="control" in facts,
                tokens=[TokenLogprob(text="a", logprob=-nll)] * 2 if more else None,
            )

        return NllGroup(id=group.id or "", candidates=self._items(group, one))


class PlainDiversity(PlainScorer):
    name = "diversity"

    def _group(self, group: Group, more: bool) -> DiversityGroup:
        facts = [said(text) for text in group.candidates]
        flags = group.feasible or [True] * len(facts)
        failures = [self._failure(f) for f in facts]
        members = [k for k, f in enumerate(facts) if flags[k] and failures[k] is None]
        angle = {k: float(facts[k].get("e", "0")) for k in members}

        def mean_distance(chosen: list[int]) -> float:
            pairs = [(i, j) for n, i in enumerate(chosen) for j in chosen[n + 1 :]]
            return sum((1 - math.cos(angle[i] - angle[j])) / 2 for i, j in pairs) / len(pairs) if pairs else 0.0

        whole = mean_distance(members)
        items: list[DiversityScored | Failed] = []
        for k, failure in enumerate(failures):
            if failure is not None:
                items.append(failure)
                continue
            rest = [i for i in members if i != k]
            contribution = max(0.0, whole - mean_distance(rest)) if len(members) > 1 else 0.0
            items.append(DiversityScored(r_div=contribution if k in members else None, windows=1))
        rows = [
            [round(math.cos(angle[i] - angle[j]), 4) if j in angle else None for j in range(len(facts))]
            if i in angle
            else None
            for i in range(len(facts))
        ]
        return DiversityGroup(id=group.id or "", candidates=items, diversity=whole, similarities=rows if more else None)


def plain_scorers(**replaced: Any) -> Scorers:
    """All four, local; a keyword replaces one, None turns it off."""
    four = {"verify": PlainVerifier(), "judge": PlainJudge(), "nll": PlainNll(), "diversity": PlainDiversity()}
    chosen = {**four, **replaced}
    return Scorers(**chosen, local=frozenset(name for name, scorer in chosen.items() if scorer is not None))
