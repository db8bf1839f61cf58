"""2. Workers that somebody outside kills cost time and no answer, in this batch and in those after it."""

import asyncio
import contextlib
import os
import signal
import threading
from pathlib import Path

import pytest

from rewright.service.schema import Group, VerifyScored
from rewright.service.scorers.verify.scorer import AnswerVerifier
from tests.trouble.test_01_load_is_nobodys_fault import right_answers


@pytest.fixture
def verifier():
    opened = AnswerVerifier(workers=2, cpu_s=5.0, memory_mb=1024, queue=20_000)
    asyncio.run(opened.open())
    yield opened
    asyncio.run(opened.close())


def verdicts(verifier: AnswerVerifier, groups: list[Group]) -> list[str]:
    results = asyncio.run(verifier.score(groups))
    items = [item for result in results for item in result.candidates]
    return [item.verdict if isinstance(item, VerifyScored) else item.error.code for item in items]


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_workers_killed_while_nobody_looks(verifier):
    assert verdicts(verifier, right_answers(2)) == ["correct"] * 2
    for first in (10, 20):
        kill(verifier.worker_pids())
        assert verdicts(verifier, right_answers(4, first=first)) == ["correct"] * 4


def test_workers_killed_again_and_again_while_they_work(verifier):
    """Nothing is wrong or undecided meanwhile, and all is well once it has stopped."""
    over = threading.Event()

    def keep_killing() -> None:
        while not over.wait(0.15):
            kill(verifier.worker_pids()[:1])

    killer = threading.Thread(target=keep_killing)
    killer.start()
    try:
        told = verdicts(verifier, right_answers(8))
    finally:
        over.set()
        killer.join()
    assert set(told) <= {"correct", "worker_lost"}
    assert verdicts(verifier, right_answers(8)) == ["correct"] * 8


def parent_of_one(pids: list[int]) -> int:
    """Of one that lives: on a slow machine an answer may have used up its first try, and its worker is being buried."""
    for pid in pids:
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    raise AssertionError(f"none of the workers {pids} lives")


def test_the_forkserver_killed(verifier):
    assert verdicts(verifier, right_answers(2)) == ["correct"] * 2
    kill([parent_of_one(verifier.worker_pids())])
    assert set(verdicts(verifier, right_answers(4, first=10))) <= {"correct", "worker_lost"}
    assert verdicts(verifier, right_answers(4, first=10)) == ["correct"] * 4
