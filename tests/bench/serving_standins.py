"""A service over scorers that stand in for devices: they answer at once, or after a fixed time a batch of candidates.

`python tests/bench/serving_standins.py --port N` serves all four scorers; `--batch-ms 50 --batch 32` makes the NLL work
through its candidates in batches of 32 at 50 ms each, one batch at a time, as one GPU would; `--only nll` turns the
others off, for a pod behind a gateway. Everything but the scorers is the real service: app, admission, batcher, ending.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import uvicorn  # noqa: E402

from rewright.service.core.batcher import Batcher, QueueState  # noqa: E402
from rewright.service.core.logs import log_as_json  # noqa: E402
from rewright.service.errors import Overloaded, ScorerUnavailable  # noqa: E402
from rewright.service.http.app import create_app  # noqa: E402
from rewright.service.http.shutdown import GracefulServer  # noqa: E402
from rewright.service.schema import (  # noqa: E402
    DiversityGroup,
    DiversityScored,
    Group,
    JudgeGroup,
    JudgeScored,
    NllGroup,
    NllScored,
    VerifyGroup,
    VerifyScored,
)
from rewright.service.scorers.base import Scorers  # noqa: E402
from rewright.service.settings import Settings, load  # noqa: E402

NAMES = ("verify", "judge", "nll", "diversity")


class _AtOnce:
    """Common to all: no model, no wait."""

    name = ""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def describe(self) -> dict[str, Any]:
        return {"model": "stand-in"}

    def last_worked(self) -> float | None:
        return time.monotonic()


class VerifyAtOnce(_AtOnce):
    name = "verify"
    _item = VerifyScored(correct=True, verdict="correct", extracted="42")

    async def score(self, groups: Sequence[Group]) -> list[VerifyGroup]:
        return [VerifyGroup(id=g.id or "", candidates=[self._item] * len(g.candidates)) for g in groups]


class JudgeAtOnce(_AtOnce):
    name = "judge"
    _item = JudgeScored(valid=True, score=0.9, verdict="valid")

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        return [JudgeGroup(id=g.id or "", candidates=[self._item] * len(g.candidates)) for g in groups]


class NllAtOnce(_AtOnce):
    name = "nll"
    _items = tuple(NllScored(nll=0.5 + k / 100, n_tokens=400) for k in range(32))

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        return [_nll_group(g) for g in groups]


def _nll_group(group: Group) -> NllGroup:
    items = NllAtOnce._items
    return NllGroup(id=group.id or "", candidates=[items[k % len(items)] for k in range(len(group.candidates))])


class DiversityAtOnce(_AtOnce):
    name = "diversity"
    _item = DiversityScored(r_div=0.01, windows=1)

    async def score(self, groups: Sequence[Group], *, similarities: bool = False) -> list[DiversityGroup]:
        return [
            DiversityGroup(id=g.id or "", candidates=[self._item] * len(g.candidates), diversity=0.05) for g in groups
        ]


class NllOnADevice(NllAtOnce):
    """Sleeps a fixed time a batch on the batcher's thread."""

    def __init__(self, *, batch: int, batch_s: float) -> None:
        self._batch_s = batch_s
        self._batcher: Batcher[int, bool] = Batcher("nll", self._run, lambda _: 1, budget=batch, capacity=10**9)

    async def open(self) -> None:
        self._batcher.start()

    async def close(self) -> None:
        await self._batcher.close()

    def last_worked(self) -> float | None:
        return self._batcher.last_worked()

    def queue_state(self) -> QueueState:
        return self._batcher.state()

    def _run(self, items: Sequence[int]) -> list[bool]:
        time.sleep(self._batch_s)
        return [True] * len(items)

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        outcomes = await self._batcher.submit([0] * sum(len(g.candidates) for g in groups))
        if any(isinstance(outcome, (Overloaded, ScorerUnavailable)) for outcome in outcomes):
            raise ScorerUnavailable("the stand-in stopped")
        return [_nll_group(g) for g in groups]


async def serve(settings: Settings, scorers: Scorers) -> None:
    for scorer in scorers:
        await scorer.open()
    app = create_app(settings, scorers)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=int(settings.longest_s) + 1,
    )
    await GracefulServer(config, app.state.admission, leave_s=settings.leave_s).run_until_signal()
    for scorer in scorers:
        await scorer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NAMES, help="turn the other scorers off")
    parser.add_argument("--batch-ms", type=float, default=0.0, help="time of a batch of the NLL (default: at once)")
    parser.add_argument("--batch", type=int, default=32, help="candidates per batch")
    options = parser.parse_args()
    log_as_json("error")
    nll = NllOnADevice(batch=options.batch, batch_s=options.batch_ms / 1000) if options.batch_ms else NllAtOnce()
    every: dict[str, Any] = {
        "verify": VerifyAtOnce(),
        "judge": JudgeAtOnce(),
        "nll": nll,
        "diversity": DiversityAtOnce(),
    }
    chosen = {name: s for name, s in every.items() if options.only in (None, name)}
    asyncio.run(serve(load(), Scorers(**chosen, local=frozenset(chosen), checked=frozenset(chosen))))


if __name__ == "__main__":
    main()
