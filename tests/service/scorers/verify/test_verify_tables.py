"""Tables of right, wrong and hostile answers through the real verifier; and that company changes no verdict."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewright.service.schema import Group, VerifyGroup, VerifyScored
from rewright.service.scorers.verify.scorer import STAGES, AnswerVerifier
from tests.service.scorers.verify.hostile_answers import GOLD, HOSTILE
from tests.service.scorers.verify.right_answers import RIGHT
from tests.service.scorers.verify.unseen_right_answers import SPELLINGS
from tests.service.scorers.verify.unseen_wrong_answers import ATTACKS
from tests.service.scorers.verify.wrong_answers import WRONG
from tests.waiting import PATIENCE_S

CPU_S = 2.0
MEMORY_MB = 512
Row = tuple[str, ...]
"""Gold answer, candidate and, in some, the problem."""
Ask = Callable[[Sequence[Row]], list[str]]


class _Asker:
    """One loop and one verifier for the whole module, so that calls can overlap."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.verifier = AnswerVerifier(workers=2, cpu_s=CPU_S, memory_mb=MEMORY_MB, queue=20_000)
        self.loop.run_until_complete(self.verifier.open())

    async def verdicts(self, rows: Sequence[Row]) -> list[str]:
        groups = [
            Group(id=str(n), answer=gold, candidates=[text], problem=problem[0] if problem else None)
            for n, (gold, text, *problem) in enumerate(rows)
        ]
        return [_verdict(group) for group in await self.verifier.score(groups)]

    def __call__(self, rows: Sequence[Row]) -> list[str]:
        return self.loop.run_until_complete(self.verdicts(rows))


def _verdict(group: VerifyGroup) -> str:
    (item,) = group.candidates
    return item.verdict if isinstance(item, VerifyScored) else item.error.code


@pytest.fixture(scope="module")
def ask() -> Iterator[_Asker]:
    asker = _Asker()
    yield asker
    asker.loop.run_until_complete(asker.verifier.close())
    asker.loop.close()


@pytest.mark.parametrize("table", [WRONG, ATTACKS], ids=["grown with the rules", "written first"])
def test_no_wrong_answer_is_credited(ask: _Asker, table: dict[str, list[Row]]) -> None:
    rows = [row for rows in table.values() for row in rows]
    assert len(rows) >= 150
    verdicts = ask(rows)
    assert [row for row, verdict in zip(rows, verdicts, strict=True) if verdict not in ("wrong", "no_answer")] == []


@pytest.mark.parametrize("table", [RIGHT, SPELLINGS], ids=["grown with the rules", "written first"])
def test_right_answers_in_unusual_spellings_are_credited(ask: _Asker, table: dict[str, list[Row]]) -> None:
    rows = [row for rows in table.values() for row in rows]
    assert len(rows) >= 150
    verdicts = ask(rows)
    assert [row for row, verdict in zip(rows, verdicts, strict=True) if verdict != "correct"] == []


# One of each family, chosen to be quick: most end in the parent or in a worker's first try.
REPRESENTATIVE = [
    "tower of powers", "million digits", "nested roots", "power of a matrix", "matrix of 500 by 500", "many boxes",
    "many new lines", "deep braces", "a megabyte in a box", "control characters", "look-alike digits", "import",
    "nearly equal",
]  # fmt: skip


def test_a_hostile_few_end_in_time_without_credit(ask: _Asker) -> None:
    hold_against(ask, REPRESENTATIVE)


@pytest.mark.slow
def test_hostile_answers_end_in_time_without_credit(ask: _Asker) -> None:
    assert len(HOSTILE) >= 80
    hold_against(ask, list(HOSTILE))
    assert ask([(GOLD, r"1 + \sqrt{7}"), (r"\sin 2x", r"2 \sin x \cos x")]) == ["correct", "correct"]


def hold_against(ask: _Asker, names: list[str]) -> None:
    """Two at a time: each is answered, none is credited, and no worker's resident memory grows past the cap.

    What runs away takes minutes at least or never ends, so the patience of each tells it from a slow machine.
    """
    verifier = ask.verifier
    assert ask([(r"\sin^2 u + \cos^2 u + 1", "2")]) == ["correct"]  # workers have started
    at_first = min((_grown_mb(pid) for pid in verifier.worker_pids()), default=0)
    peak = 0
    two = asyncio.Semaphore(2)

    async def one(name: str) -> tuple[str, str, float]:
        async with two:
            started = time.monotonic()
            # Its own gold answer, so that no decision is remembered.
            async with asyncio.timeout(PATIENCE_S):
                (verdict,) = await ask.verdicts([(f"{GOLD} + 0", HOSTILE[name])])
            return name, verdict, time.monotonic() - started

    async def all_of_them() -> list[tuple[str, str, float]]:
        return await asyncio.gather(*map(one, names))

    async def watched() -> list[tuple[str, str, float]]:
        nonlocal peak
        work = asyncio.create_task(all_of_them())
        while not work.done():
            peak = max(peak, *(_grown_mb(pid) for pid in verifier.worker_pids()), 0)
            await asyncio.sleep(0.05)
        return await work

    results = ask.loop.run_until_complete(watched())
    slowest = max(results, key=lambda result: result[2])
    print(f"{len(names)} hostile answers, slowest {slowest}, largest worker {peak} MiB resident, {at_first} before")
    assert [name for name, verdict, _ in results if verdict not in ("wrong", "no_answer", "undecided")] == []
    assert peak - at_first <= MEMORY_MB


def _grown_mb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) // 1024


SAMPLE = [
    *[(pair, "wrong") for pairs in WRONG.values() for pair in pairs[:3]],
    *[(pair, "correct") for pairs in RIGHT.values() for pair in pairs[:6]],
]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(len(SAMPLE))),
    size=st.integers(1, len(SAMPLE)),
    beside=st.lists(st.sampled_from(["many factors", "code"]), max_size=1),
)
def test_verdicts_depend_on_no_order_no_batch_and_no_company(
    ask: _Asker, order: list[int], size: int, beside: list[str]
) -> None:
    """Whatever is asked together, in what order, and whatever else is in flight."""
    picked = [SAMPLE[n] for n in order[:60]]

    async def story() -> list[str]:
        company = [asyncio.create_task(ask.verdicts([(GOLD, HOSTILE.get(name, name))])) for name in beside]
        batches = [picked[start : start + size] for start in range(0, len(picked), size)]
        answers = await asyncio.gather(*(ask.verdicts([pair for pair, _ in batch]) for batch in batches))
        for one in company:
            one.cancel()
        await asyncio.gather(*company, return_exceptions=True)
        return [verdict for answer in answers for verdict in answer]

    verdicts = ask.loop.run_until_complete(story())
    assert ["correct" if verdict == "correct" else "wrong" for verdict in verdicts] == [wanted for _, wanted in picked]


def test_costs_are_told_by_stage(ask: _Asker) -> None:
    before = ask.verifier.stage_costs()
    assert set(before) == set(STAGES)
    ask([("5", r"\boxed{}"), ("5", "5"), (r"\sqrt{50}", r"5\sqrt{2}")])
    once = [(r"\sin^2 q + \cos^2 q + 40", "41")]
    ask(once)
    ask(once)
    after = ask.verifier.stage_costs()
    grown = {stage: after[stage].items - before[stage].items for stage in STAGES}
    assert grown == {"reading": 1, "exact": 1, "arithmetic": 1, "remembered": 1, "algebra": 1}
    assert all(after[stage].seconds > 0 for stage in STAGES)


@pytest.mark.slow
def test_what_was_past_its_cpu_seconds_is_not_worked_on_again(ask: _Asker) -> None:
    """On a loaded machine the wall clock may ring first, which says nothing about the pair; hence several tries."""
    for _ in range(4):
        before = ask.verifier.stage_costs()["remembered"].items
        assert ask([(GOLD, r"9^{9^{9^{9^9}}} + 17")]) == ["undecided"]
        if ask.verifier.stage_costs()["remembered"].items > before:
            return
    pytest.fail("never remembered")
