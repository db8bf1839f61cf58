"""v_ans of eq. 4: does a candidate's final answer equal the gold answer?

The gold answer is the final answer of `answer`, else of `reference`; one that cannot be read makes its group's
candidates `failed` with `bad_gold` (the data's doing). Most pairs are decided right here by their text or as plain
numbers (`rewright.service.mathematics.answers`); what needs algebra goes to worker processes with hard limits. A pair
that exceeds its own CPU seconds or memory twice, the second time alone, or dies of itself twice, is the candidate's own
doing: `undecided`. Whatever else kept a pair from being decided is the service's, and the candidate is `failed`,
retryable: no time left, a worker killed from outside, none to be had.

Each distinct (gold, prediction) pair is worked on once a request, and the latest answers are remembered.
What counts as equal, and every policy, is said in the docstrings of `rewright.service.mathematics.answers`.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from rewright.service.core.batcher import QueueState
from rewright.service.core.workers.pool import Failure, Outcome, WorkerPool
from rewright.service.mathematics.answers.equality import compare
from rewright.service.mathematics.answers.extraction import Found, find_answer
from rewright.service.mathematics.answers.gold import Gold, read_gold, repeats, same_prose, says
from rewright.service.mathematics.answers.leaves import arithmetic_leaf, cheap_leaf
from rewright.service.mathematics.answers.multiple_choice import chosen_letter
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS, normalise
from rewright.service.mathematics.answers.numbers import numbers_equal, read_number
from rewright.service.mathematics.answers.question import in_asked_unit, only_quotes
from rewright.service.schema import AnswerVerdict, Failed, Group, VerifyGroup, VerifyScored
from rewright.service.scorers.base import StageCost
from rewright.service.scorers.verify.pair_cache import Pair, PairCache

WORKER = "rewright.service.scorers.verify.worker:decide"
REHEARSAL = [r"\sqrt{2}\sin(x)\cos(x)", r"\frac{\sin(2x)}{\sqrt{2}}"]
FIRST_TRY_S = 0.3
REMEMBERED_BYTES = 32 * 1024 * 1024
_SHOWN = 500
_WORKER_LOST = ("worker_lost", "no worker could finish this answer")
_LOST = {"unfinished": ("deadline", "not decided by the request's deadline; send the group again")}
"""Code and message of what kept a pair from being decided, by kind of failure."""
_AT_ONCE = 20_000  # characters read on the event loop itself; more go to a thread

STAGES = ("reading", "exact", "arithmetic", "remembered", "algebra")


class _Costs:
    """Items and seconds by stage, gathered by one caller at a time."""

    def __init__(self) -> None:
        self.items: defaultdict[str, int] = defaultdict(int)
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def add(self, stage: str, items: int, since: float) -> float:
        """Note `items` that ended in `stage` and the time since `since`; returns now."""
        now = time.perf_counter()
        self.items[stage] += items
        self.seconds[stage] += now - since
        return now

    def take(self, other: "_Costs") -> None:
        for stage in STAGES:
            self.items[stage] += other.items[stage]
            self.seconds[stage] += other.seconds[stage]


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
        self._pool = WorkerPool(
            WORKER,
            workers=workers,
            cpu_s=cpu_s,
            memory_mb=memory_mb,
            queue=queue,
            first_try_s=FIRST_TRY_S,
            slow_workers=workers,
            rehearsal=REHEARSAL,
        )
        self._remembered = PairCache(REMEMBERED_BYTES)
        self._costs = _Costs()

    async def open(self) -> None:
        self._pool.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.close)

    def describe(self) -> dict[str, Any]:
        return {"engine": "math-verify", "version": version("math-verify"), **self._limits}

    def worker_pids(self) -> list[int]:
        """Process ids of the workers alive now."""
        return self._pool.child_pids()

    def last_worked(self) -> float | None:
        """Decisions on the cheap path need no worker, but they are no sign that the workers live."""
        return self._pool.last_worked()

    def queue_state(self) -> QueueState:
        return self._pool.state()

    def stage_costs(self) -> Mapping[str, StageCost]:
        """reading: finding answers, where blank ones end. exact: text and plain numbers. arithmetic: values at points.
        remembered: pairs seen before. algebra: the workers, in seconds of waiting for them."""
        return {stage: StageCost(self._costs.items[stage], self._costs.seconds[stage]) for stage in STAGES}

    async def score(self, groups: Sequence[Group]) -> list[VerifyGroup]:
        """One result per group, one item per candidate, in order. Raises `Overloaded` and `ScorerUnavailable`."""
        size = sum(len(text) for group in groups for text in group.candidates)
        # Reading is linear in the text, but a large request would hold the event loop for long.
        costs = _Costs()
        if size <= _AT_ONCE:
            judged = _judge_all(groups, costs)
        else:
            judged = await asyncio.to_thread(_judge_all, groups, costs)
        self._costs.take(costs)
        decided = await self._decide({item.pair for items in judged for item in items or () if item.pair is not None})
        return [
            VerifyGroup(id=group.id or "", candidates=_results(group, items, decided))
            for group, items in zip(groups, judged, strict=True)
        ]

    async def _decide(self, pairs: set[Pair]) -> dict[Pair, bool | Failure]:
        decided: dict[Pair, bool | Failure] = {}
        started = time.perf_counter()
        for pair in pairs:
            if (decision := self._remembered.get(pair)) is not None:
                decided[pair] = decision
        unknown = sorted(pairs - decided.keys())
        if not unknown:
            self._costs.add("remembered", len(decided), started)
            return decided
        started = self._costs.add("remembered", len(decided), started)
        loop = asyncio.get_running_loop()

        def late(index: int, outcome: Outcome) -> None:
            # The caller has gone without it; asked again, the pair is decided already.
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._remember, unknown[index], _decision(outcome))

        outcomes = await self._pool.run([list(pair) for pair in unknown], late=late)
        for pair, outcome in zip(unknown, outcomes, strict=True):
            decided[pair] = _decision(outcome)
            self._remember(pair, decided[pair])
        self._costs.add("algebra", len(unknown), started)
        return decided

    def _remember(self, pair: Pair, decision: bool | Failure) -> None:
        """Where it would be decided in the same way again."""
        if not isinstance(decision, Failure) or (decision.own_doing and decision.kind != "died"):
            self._remembered.put(pair, decision)


def _decision(outcome: Outcome) -> bool | Failure:
    if isinstance(outcome, Failure):
        # An exception means that algebra could not compare them: they are not shown to be equal.
        return False if outcome.kind == "raised" else outcome
    return outcome.value is True


def _judge_all(groups: Sequence[Group], costs: _Costs) -> list[list[_Judged] | None]:
    """The parent's part of every group; None for a group whose gold answer cannot be read."""
    return [_judge_group(group, costs) for group in groups]


def _judge_group(group: Group, costs: _Costs) -> list[_Judged] | None:
    gold = read_gold(group.answer, group.reference, group.problem)
    if gold is None:
        return None
    wanted = normalise(gold.text)
    if not wanted or len(wanted) >= MAX_CHARACTERS:
        return None
    seen: dict[str, _Judged] = {}
    for candidate in group.candidates:
        if candidate not in seen:
            started = time.perf_counter()
            found = find_answer(candidate, group.problem)
            if (gold.letter and not (gold.option and _names_no_letter(found))) or gold.prose:
                seen[candidate] = _judge_words(gold, found, candidate)
                costs.add("reading", 1, started)
            else:
                judged = _judge(wanted, found, group.problem, costs, started)
                seen[candidate] = _or_letter_for_letter(gold, found, candidate, judged)
    return [seen[candidate] for candidate in group.candidates]


def _judge_words(gold: Gold, found: Found | None, candidate: str) -> _Judged:
    """Against a letter of choices, or a text that is asked for as a whole."""
    shown = found.text[:_SHOWN] if found is not None else None
    if gold.letter:
        chosen = chosen_letter(found, candidate)
        if chosen is not None:
            return _Judged("correct" if chosen == gold.letter and not _another_value(gold, found) else "wrong", chosen)
        return _Judged("no_answer" if found is None else "wrong", shown)
    right = same_prose(gold.text, found, candidate) or repeats(gold, found, candidate)
    return _Judged("correct" if right else "no_answer" if found is None else "wrong", shown)


def _names_no_letter(found: Found | None) -> bool:
    """An answer without the letter of an option: it is held against the option's value."""
    return found is not None and chosen_letter(Found(found.sentence or found.text, stated=True), "") is None


def _another_value(gold: Gold, found: Found | None) -> bool:
    """Beside the right letter stands a number that is not the option's."""
    if not gold.option or found is None or found.sentence is None:
        return False
    mine, yours = read_number(normalise(gold.text)), read_number(normalise(found.text))
    return mine is not None and yours is not None and not numbers_equal(mine, yours)


def _or_letter_for_letter(gold: Gold, found: Found | None, candidate: str, judged: _Judged) -> _Judged:
    """What is not right by value may be by its very text."""
    if judged.verdict == "correct":
        return judged
    if says(gold, found, candidate):
        return _Judged("correct", judged.extracted or gold.text[:_SHOWN])
    return judged


def _judge(wanted: str, found: Found | None, problem: str | None, costs: _Costs, started: float) -> _Judged:
    answer = normalise(found.text) if found is not None else ""
    if found is None or not answer:
        costs.add("reading", 1, started)
        return _Judged("no_answer", None)
    shown = found.text[:_SHOWN]
    started = costs.add("reading", 0, started)
    if len(answer) >= MAX_CHARACTERS or only_quotes(problem, wanted, answer):
        return _Judged("wrong", shown)
    wanted = in_asked_unit(problem, wanted, answer)
    equal = compare(wanted, answer, cheap_leaf)
    started = costs.add("exact", equal is not None, started)
    if equal is None:
        equal = compare(wanted, answer, arithmetic_leaf)
        costs.add("arithmetic", equal is not None, started)
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
            if not outcome.own_doing:
                code, message = _LOST.get(outcome.kind, _WORKER_LOST)
                return Failed.because(code, message, retryable=True)
            verdict = "undecided"
        else:
            verdict = "correct" if outcome else "wrong"
    return VerifyScored(correct=verdict == "correct", verdict=verdict or "undecided", extracted=item.extracted)
