"""20. Who asks for more than the deadline holds gets what was finished; the rest is `failed`: `deadline`, retryable."""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence

import httpx
import pytest

from rewright.service.core.batcher import Batcher
from rewright.service.core.request_context import due_in
from rewright.service.errors import OutOfTime
from rewright.service.schema import Group, NllGroup, NllScored
from rewright.service.scorers.base import failed
from tests.live_server import serve_app
from tests.plain_scorers import PlainNll, plain_scorers

DEADLINE_S = 3.0


class NllOnASlowDevice(PlainNll):
    """One candidate per batch; after the first few the device is held until it is let go."""

    def __init__(self, *, quick: int) -> None:
        super().__init__()
        self._quick = quick
        self.go_on = threading.Event()
        self._batcher: Batcher[str, float] = Batcher("nll", self._run, lambda _: 1, budget=1, capacity=10_000)

    async def open(self) -> None:
        self._batcher.start()

    async def close(self) -> None:
        self.go_on.set()
        await self._batcher.close()

    def _run(self, items: Sequence[str]) -> list[float]:
        if self._quick <= 0:
            self.go_on.wait()
        self._quick -= len(items)
        return [1.0] * len(items)

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        results = []
        for group in groups:
            outcomes = await self._batcher.submit(group.candidates)
            items = [failed(o) if isinstance(o, OutOfTime) else NllScored(nll=1.0, n_tokens=3) for o in outcomes]
            results.append(NllGroup(id=group.id or "", candidates=items))
        return results


def groups(count: int) -> list[dict[str, object]]:
    return [{"problem": "p", "reference": "r", "candidates": [f"nll=1 k={k}"]} for k in range(count)]


@pytest.mark.parametrize("endpoint", ["nll", "reward"])
def test_the_finished_part_is_told_and_the_rest_is_failed(endpoint):
    nll = NllOnASlowDevice(quick=5)
    with serve_app(plain_scorers(nll=nll)) as server:
        started = time.monotonic()
        answer = httpx.post(
            f"{server.url}/v1/{endpoint}",
            json={"groups": groups(24)},
            headers={"X-Deadline-Ms": str(int(DEADLINE_S * 1000))},
            timeout=60,
        )
        seconds = time.monotonic() - started
        nll.go_on.set()
    assert answer.status_code == 200, answer.text
    assert seconds < DEADLINE_S + 20
    items = [item for group in answer.json()["groups"] for item in group["candidates"]]
    unfinished = [item for item in items if item["status"] == "failed"]
    assert sum(item["status"] == "scored" for item in items) == 5
    assert {item["error"]["code"] for item in unfinished} == {"deadline"}
    assert all(item["error"]["retryable"] for item in unfinished)
    assert all(item.get("total") is None for item in unfinished)


def test_the_log_names_the_header_and_the_caller(caplog):
    nll = NllOnASlowDevice(quick=1)
    with caplog.at_level(logging.WARNING), serve_app(plain_scorers(nll=nll)) as server:
        httpx.post(
            f"{server.url}/v1/nll",
            json={"groups": groups(3)},
            headers={"X-Deadline-Ms": "1500", "User-Agent": "trainer-seven"},
            timeout=60,
        )
        nll.go_on.set()
    (line,) = [r.getMessage() for r in caplog.records if "X-Deadline-Ms" in r.getMessage()]
    assert "2 of 3" in line and "trainer-seven" in line


def test_a_batcher_gives_what_is_done_at_the_deadline():
    async def run() -> list[object]:
        held = threading.Event()
        batcher: Batcher[int, int] = Batcher(
            "b", lambda items: [n if n < 2 else held.wait() or n for n in items], lambda _: 1, budget=1, capacity=10
        )
        batcher.start()
        try:
            with due_in(1.0):
                outcomes: list[object] = list(await batcher.submit([0, 1, 2, 3]))
        finally:
            held.set()
            await batcher.close()
        return outcomes

    outcomes = asyncio.run(run())
    assert outcomes[:2] == [0, 1]
    assert all(isinstance(outcome, OutOfTime) for outcome in outcomes[2:])
