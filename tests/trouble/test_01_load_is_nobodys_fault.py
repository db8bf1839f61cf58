"""1. A right answer that takes the machine long is never `undecided`: it is correct, or `failed` and correct later."""

import asyncio
from collections.abc import Iterator

import pytest

from rewright.service.core.request_context import adopt_request_id, due_in
from rewright.service.schema import Failed, Group, VerifyScored
from rewright.service.scorers.verify.scorer import AnswerVerifier

ROUNDS = 11
"""Each with twice the time of the one before, so that a slow machine comes to the end as well."""


def integral(k: int) -> tuple[str, str]:
    return rf"6-2e+{k}", rf"\int_0^1 x^3 e^x dx + {k}"


def product(k: int) -> tuple[str, str]:
    return rf"\frac{{1}}{{2}}\sin({3 * k + 1}x)+\frac{{1}}{{2}}\sin({k - 1}x)", rf"\sin({2 * k}x)\cos({k + 1}x)"


def right_answers(count: int, *, first: int = 2) -> list[Group]:
    pairs = [pair for k in range(first, first + count // 2) for pair in (integral(k), product(k))]
    return [
        Group(id=f"right-{n}", answer=gold, candidates=[f"The answer is $\\boxed{{{answer}}}$."])
        for n, (gold, answer) in enumerate(pairs)
    ]


def bombs(count: int) -> list[Group]:
    towers = (f"9^{{9^{{9^{{{9 + k}^9}}}}}}" for k in range(count))
    return [Group(id=f"bomb-{n}", answer="10", candidates=[f"\\boxed{{{t}}}"]) for n, t in enumerate(towers)]


@pytest.fixture
def verifier() -> Iterator[AnswerVerifier]:
    opened = AnswerVerifier(workers=1, cpu_s=5.0, memory_mb=1024, queue=20_000)
    asyncio.run(opened.open())
    yield opened
    asyncio.run(opened.close())


async def ask(
    verifier: AnswerVerifier, groups: list[Group], *, name: str, seconds: float
) -> list[VerifyScored | Failed]:
    adopt_request_id(name)
    with due_in(seconds):
        return [item for result in await verifier.score(groups) for item in result.candidates]


def beside(
    verifier: AnswerVerifier, honest: list[Group], hostile: list[Group], *, seconds: float
) -> list[VerifyScored | Failed]:
    """What the honest caller is told while another posts bombs."""

    async def both() -> list[VerifyScored | Failed]:
        other = asyncio.create_task(ask(verifier, hostile, name="hostile", seconds=seconds))
        mine = await asyncio.create_task(ask(verifier, honest, name="honest", seconds=seconds))
        await other
        return mine

    return asyncio.run(both())


def test_what_is_not_done_in_time_is_failed_and_comes_right_when_sent_again(verifier):
    left = right_answers(6)
    unfinished = 0
    for k in range(ROUNDS):
        items = beside(verifier, left, bombs(2), seconds=0.2 * 2**k)
        for item in items:
            if isinstance(item, Failed):
                assert item.error.retryable and item.error.code == "deadline"
            else:
                assert item.verdict == "correct"
        unfinished += sum(isinstance(item, Failed) for item in items)
        left = [group for group, item in zip(left, items, strict=True) if isinstance(item, Failed)]
        if not left:
            break
    assert not left
    assert unfinished, "the machine did it all at once, so that this test has shown nothing; give it less time"


def test_only_what_used_up_its_own_limit_is_undecided(verifier):
    (item,) = asyncio.run(ask(verifier, bombs(1), name="hostile", seconds=600))
    assert isinstance(item, VerifyScored) and item.verdict == "undecided"
