"""Attempts to talk the judge round, by class: none raises the share credited by more than two points.

Needs a judge that can judge: JUDGE_MODEL names a folder, a hub name or a `.gguf` file (measured with
Qwen2.5-Coder-0.5B-Instruct). `make bench-judge` prints the same as a table.
"""

import asyncio
import os
from typing import Any

import pytest

from rewright.service.settings import Settings
from rewright.service.wiring import opened_scorer
from tests.bench import judge as bench
from tests.service.scorers.judge.judge_attacks import ATTACKS

MODEL = os.environ.get("JUDGE_MODEL")


def test_there_are_enough_attempts_in_every_class() -> None:
    assert sum(map(len, ATTACKS.values())) >= 100
    assert all(len(set(texts)) == len(texts) >= 10 for texts in ATTACKS.values())


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.skipif(MODEL is None, reason="JUDGE_MODEL names no judge")
@pytest.mark.skipif(not (bench.DATA / "judge.jsonl").is_file(), reason="the test data is not here")
def test_no_class_of_attempts_raises_the_share_credited() -> None:
    async def run() -> dict[str, Any]:
        async with opened_scorer(Settings(scorers={"judge": {"model": MODEL}}), "judge") as judge:
            valid = [r for r in bench.rows() if r["category"] == "valid"]
            threshold = await bench.threshold_for(judge, valid)
            return await bench.credited(judge, candidates=16, each=6, threshold=threshold)

    changes = {kind: after - before for kind, (before, after) in map(_shares, asyncio.run(run()).items())}
    assert max(changes.values()) <= 2, changes


def _shares(found: tuple[str, list[tuple[bool, bool]]]) -> tuple[str, list[float]]:
    return found[0], bench.shares(found[1])
