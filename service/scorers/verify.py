"""v_ans of eq. 4: does a candidate's final answer equal the gold answer?

The gold answer is the final answer of `answer`, else of `reference`; one that cannot be read makes its group's
candidates `failed` with `bad_gold` (the data's doing). Most pairs are decided right here by their text or as plain
numbers (`service.scorers.answers`); what needs algebra goes to worker processes with hard limits. A pair that exceeds
them even when tried alone, or kills its worker twice, is the candidate's own doing: `undecided`. A worker lost without
a second try, or none to be had, is the service's: `failed`, retryable.

Each distinct (gold, prediction) pair is worked on once a request, and the latest answers are remembered.
What counts as equal, and every policy, is said in the docstrings of `service.scorers.answers`.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from service.schema import AnswerVerdict, Failed, Group, VerifyGroup, VerifyScored
from service.scorers.answers.equality import cheap_leaf, compare
from service.scorers.answers.extraction import Found, find_answer
from service.scorers.answers.letters import chosen_letter, gold_letter
from service.scorers.answers.normalisation import MAX_CHARACTERS, normalise
from service.worker_pool import Failure, Outcome, WorkerPool

WORKER = "service.scorers.verify_worker:decide"
FIRST_TRY_S = 1.0
SLOW_QUEUE_A_WORKER = 8
REMEMBERED = 50_000
_SHOWN = 500
_AT_ONCE = 20_000  # characters read on the event loop itself; more go to a thread

Pair = tuple[str, str]


class _Judged(NamedTuple):
    """One candidate after the parent's part: a verdict, or the pair that needs algebra."""

    verdict: AnswerVerdict | None
    extracted: str | None
    pair: Pair | None = None


class AnswerVerifier:
    """workers: fast-lane processes. cpu_s: CPU seconds a pair may use. memory_mb: MiB a worker may grow by. queue:
    pairs that may wait; more raise `Overloaded`."""

    name = "verify"

    def __init__(self, *, workers: int, cpu_s: float, memory_mb: int, queue: int) -> None:
        self._limits = {"workers": workers, "cpu_s": cpu_s, "memory_mb": memory_mb, "queue": queue}
        slow_workers = max(1, workers // 2)
        self._pool = WorkerPool(
            WORKER,
            workers=workers,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
            queue=queue,
            first_try_s=FIRST_TRY_S,
            slow_workers=slow_workers,
            slow_queue=slow_workers * SLOW_QUEUE_A_WORKER,
        )
        self._remembered: OrderedDict[Pair, bool] = OrderedDict()

    async def open(self) -> None:
        self._pool.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.close)

    def describe(self) -> dict[str, Any]:
        return {"engine": "math-verify", "version": version("math-verify"), **self._limits}

    def last_worked(self) -> float | None:
        """Decisions on the cheap path need no worker, but they are no sign that the workers live."""
        return self._pool.last_worked()

    async def score(self, groups: Sequence[Group]) -> list[VerifyGroup]:
        """One result a group, one item a candidate, in order. Raises `Overloaded` and `ScorerUnavailable`."""
        size = sum(len(text) for group in groups for text in group.candidates)
        # Reading is linear in the text, but a large request would hold the event loop for long.
        judged = _judge_all(groups) if size <= _AT_ONCE else await asyncio.to_thread(_judge_all, groups)
        decided = await self._decide({item.pair for items in judged for item in items or () if item.pair is not None})
        return [
            VerifyGroup(id=group.id or "", candidates=_results(group, items, decided))
            for group, items in zip(groups, judged, strict=True)
        ]

    async def _decide(self, pairs: set[Pair]) -> dict[Pair, bool | Failure]:
        decided: dict[Pair, bool | Failure] = {}
        for pair in pairs & self._remembered.keys():
            self._remembered.move_to_end(pair)
            decided[pair] = self._remembered[pair]
        unknown = sorted(pairs - decided.keys())
        outcomes: list[Outcome] = await self._pool.run([list(pair) for pair in unknown])
        for pair, outcome in zip(unknown, outcomes, strict=True):
            if isinstance(outcome, Failure):
                # An exception means that algebra could not compare them: they are not shown to be equal.
                decided[pair] = False if outcome.kind == "raised" else outcome
            else:
                decided[pair] = outcome.value is True
                self._remembered[pair] = decided[pair] is True
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return decided


def _judge_all(groups: Sequence[Group]) -> list[list[_Judged] | None]:
    """The parent's part of every group; None for a group whose gold answer cannot be read."""
    return [_judge_group(group) for group in groups]


def _judge_group(group: Group) -> list[_Judged] | None:
    source = group.answer if group.answer is not None and group.answer.strip() else group.reference
    gold = find_answer(source) if source else None
    if source is None or gold is None:
        return None
    letter = gold_letter(source if group.answer is not None and len(source) < MAX_CHARACTERS else gold.text)
    wanted = normalise(gold.text)
    if not wanted or len(wanted) >= MAX_CHARACTERS:
        return None
    seen: dict[str, _Judged] = {}
    for candidate in group.candidates:
        if candidate not in seen:
            found = find_answer(candidate)
            seen[candidate] = _judge_letter(letter, found, candidate) if letter else _judge(wanted, found)
    return [seen[candidate] for candidate in group.candidates]


def _judge_letter(letter: str, found: Found | None, candidate: str) -> _Judged:
    chosen = chosen_letter(found, candidate)
    if chosen is None:
        return _Judged("no_answer" if found is None else "wrong", found.text[:_SHOWN] if found else None)
    return _Judged("correct" if chosen == letter else "wrong", chosen)


def _judge(wanted: str, found: Found | None) -> _Judged:
    if found is None:
        return _Judged("no_answer", None)
    shown = found.text[:_SHOWN]
    answer = normalise(found.text)
    if not answer:
        return _Judged("no_answer", None)
    if len(answer) >= MAX_CHARACTERS:
        return _Judged("wrong", shown)
    equal = compare(wanted, answer, cheap_leaf)
    if equal is None:
        return _Judged(None, shown, (wanted, answer))
    return _Judged("correct" if equal else "wrong", shown)


def _results(
    group: Group, judged: list[_Judged] | None, decided: dict[Pair, bool | Failure]
) -> list[VerifyScored | Failed]:
    if judged is None:
        failed = Failed.because("bad_gold", "the gold answer cannot be read", retryable=False)
        return [failed] * len(group.candidates)
    return [_result(item, decided) for item in judged]


def _result(item: _Judged, decided: dict[Pair, bool | Failure]) -> VerifyScored | Failed:
    verdict = item.verdict
    if verdict is None and item.pair is not None:
        outcome = decided[item.pair]
        if isinstance(outcome, Failure):
            if outcome.kind == "no_worker" or (outcome.kind == "died" and outcome.tries < 2):
                return Failed.because("worker_lost", "no worker could finish this answer", retryable=True)
            verdict = "undecided"
        else:
            verdict = "correct" if outcome else "wrong"
    return VerifyScored(correct=verdict == "correct", verdict=verdict or "undecided", extracted=item.extracted)
