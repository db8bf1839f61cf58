"""python -m tests.service.http.held_service FILE: the real service, whose NLL gives no answer before FILE is there.

With a second argument a thread hangs until then too.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rewright.service.schema import Group, NllGroup
from rewright.service.scorers.base import Scorers
from rewright.service.settings import load
from tests.bench.serving_standins import NllAtOnce, serve


def _hang() -> None:
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)


class HeldNll(NllAtOnce):
    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        if len(sys.argv) > 2:
            await asyncio.to_thread(_hang)
        while not Path(sys.argv[1]).exists():  # noqa: ASYNC110, ASYNC240 - another process lets go
            await asyncio.sleep(0.01)
        return await super().score(groups, tokens=tokens)


if __name__ == "__main__":
    nll_alone = Scorers(verify=None, judge=None, nll=HeldNll(), diversity=None, local=frozenset({"nll"}))
    asyncio.run(serve(load(), nll_alone))
