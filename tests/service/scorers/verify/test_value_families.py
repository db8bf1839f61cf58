"""What the text of an answer means, kind by kind, through the real verifier, with gold and candidate exchanged too."""

import asyncio

import pytest

from rewright.service.schema import Group, VerifyScored
from rewright.service.scorers.verify.scorer import AnswerVerifier
from tests.service.scorers.verify.value_families import EITHER_WAY, ONE_WAY, Kind


def as_formula(gold: str) -> str:
    """As a whole formula, so that nothing has to be found in it; amounts of dollars are none."""
    return gold if gold.startswith(("$", "\\$")) else f"${gold}$"


async def credited(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs of gold answer and box whose candidate is credited."""
    verifier = AnswerVerifier(workers=2, cpu_s=5.0, memory_mb=512, queue=20_000)
    await verifier.open()
    groups = [
        Group(id=str(n), answer=as_formula(gold), candidates=[rf"\boxed{{{value}}}"])
        for n, (gold, value) in enumerate(pairs)
    ]
    items = [result.candidates[0] for result in await verifier.score(groups)]
    await verifier.close()
    return [pair for pair, item in zip(pairs, items, strict=True) if isinstance(item, VerifyScored) and item.correct]


@pytest.fixture(scope="module")
def right() -> set[tuple[str, str]]:
    """All rows of all kinds that are credited, asked at once, each kind either way with its mirror."""
    rows = [row for kind in (*ONE_WAY.values(), *EITHER_WAY.values()) for row in (*kind.right, *kind.wrong)]
    mirrors = [(value, gold) for kind in EITHER_WAY.values() for gold, value in (*kind.right, *kind.wrong)]
    return set(asyncio.run(credited([*rows, *mirrors])))


@pytest.mark.parametrize("name", ONE_WAY)
def test_a_kind(right: set[tuple[str, str]], name: str) -> None:
    hold(right, ONE_WAY[name])


@pytest.mark.parametrize("name", EITHER_WAY)
def test_a_kind_and_its_mirror(right: set[tuple[str, str]], name: str) -> None:
    kind = EITHER_WAY[name]
    hold(right, kind)
    hold(right, Kind(*([(value, gold) for gold, value in rows] for rows in kind)))


def hold(right: set[tuple[str, str]], kind: Kind) -> None:
    assert [row for row in kind.right if row not in right] == []
    assert [row for row in kind.wrong if row in right] == []
    assert kind.right and kind.wrong
