"""A pod of the chaos: real app, real batching and caching, and scores that its text tells beforehand.

`CHAOS_SCORER` says which scorer it runs: `verify` is the real verifier with its worker processes; `judge` asks a real
HTTP server for one group in `JUDGED_BY_SERVER`, and reads the others' verdicts from their text; `nll` and `diversity`
are functions of the text, the first remembered in Redis. `CHAOS_REVISION` is the model's version, which moves every
NLL. SIGUSR1 makes it answer garbage, SIGUSR2 makes it well again.
"""

import asyncio
import hashlib
import itertools
import os
import re
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import uvicorn

from rewright.service.core.batcher import Batcher
from rewright.service.core.logs import log_as_json
from rewright.service.errors import OutOfTime
from rewright.service.http.app import create_app
from rewright.service.http.shutdown import GracefulServer
from rewright.service.schema import (
    DiversityGroup,
    DiversityScored,
    Group,
    JudgeGroup,
    JudgeScored,
    NllGroup,
    NllScored,
)
from rewright.service.scorers.base import Scorer, Scorers, failed
from rewright.service.scorers.caching.scorer import CachedScorer
from rewright.service.scorers.caching.store import SharedStore
from rewright.service.scorers.nll.spec import SPEC as NLL
from rewright.service.settings import load

JUDGED_BY_SERVER = 50
REVISIONS = {"a": 0.5, "b": 1.5}
"""What each version of the model adds to the NLL of every text."""
GARBAGE = (
    (200, b"not JSON at all"),
    (200, b"{"),
    (200, b'{"groups": [], "served_by": {"version": "0", "scorers": {}}}'),
    (200, b'{"groups": [{"id": "0", "candidates": [{"status": "scored", "nll": NaN, "n_tokens": 1}]}]}'),
    (200, b'{"groups": [{"id": "0", "candidates": [{"status": "scored", "nll": 1e200, "n_tokens": 1}]}]}'),
    (302, b""),
    (401, b'{"error": {"code": "unauthorized", "message": "m", "retryable": false}}'),
    (404, b"nothing here"),
    (500, b"<html>"),
    (502, b"bad gateway"),
    (503, b'{"error": {"code": "scorer_off", "message": "m", "retryable": false}}'),
)


def share(text: str, salt: str) -> float:
    """In [0, 1), and the text's own."""
    return int.from_bytes(hashlib.blake2b((salt + text).encode(), digest_size=6).digest()) / 2**48


def nll_of(text: str, revision: str) -> float:
    return REVISIONS[revision] + 0.4 * share(text, "nll")


def r_div_of(text: str) -> float:
    return 0.1 * share(text, "div")


def p_valid(text: str) -> float:
    found = re.search(r"p=(0\.\d+)", text)
    return float(found[1]) if found else 0.5


class _ByText(ABC):
    name = ""

    def __init__(self) -> None:
        self._batcher: Batcher[str, float] = Batcher(self.name, self._run, lambda _: 1, budget=512, capacity=10**7)

    async def open(self) -> None:
        self._batcher.start()

    async def close(self) -> None:
        await self._batcher.close()

    def last_worked(self) -> float | None:
        return self._batcher.last_worked()

    def describe(self) -> dict[str, Any]:
        return {"model": "chaos", "revision": os.environ["CHAOS_REVISION"]}

    def _run(self, texts: Sequence[str]) -> list[float]:
        return [self.number(text) for text in texts]

    @abstractmethod
    def number(self, text: str) -> float:
        """The text's own."""

    async def numbers(self, groups: Sequence[Group]) -> list[list[Any]]:
        texts = [text for group in groups for text in group.candidates]
        found = iter(await self._batcher.submit(texts))
        return [[next(found) for _ in group.candidates] for group in groups]


class NllByText(_ByText):
    name = "nll"

    def number(self, text: str) -> float:
        return nll_of(text, os.environ["CHAOS_REVISION"])

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        return [
            NllGroup(
                id=g.id or "",
                candidates=[failed(n) if isinstance(n, OutOfTime) else NllScored(nll=n, n_tokens=9) for n in numbers],
            )
            for g, numbers in zip(groups, await self.numbers(groups), strict=True)
        ]


class DiversityByText(_ByText):
    name = "diversity"

    def number(self, text: str) -> float:
        return r_div_of(text)

    async def score(self, groups: Sequence[Group], *, similarities: bool = False) -> list[DiversityGroup]:
        results = []
        for g, numbers in zip(groups, await self.numbers(groups), strict=True):
            items = [failed(n) if isinstance(n, OutOfTime) else DiversityScored(r_div=n, windows=1) for n in numbers]
            results.append(DiversityGroup(id=g.id or "", candidates=items, diversity=0.1))
        return results


class JudgeByTextAndServer:
    name = "judge"

    def __init__(self, server: Scorer[JudgeGroup]) -> None:
        self._server = server
        self._worked: float | None = None

    async def open(self) -> None:
        await self._server.open()

    async def close(self) -> None:
        await self._server.close()

    def last_worked(self) -> float | None:
        return self._worked

    def describe(self) -> dict[str, Any]:
        return {"model": "chaos", "revision": os.environ["CHAOS_REVISION"]}

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        self._worked = time.monotonic()
        asked = [g for g in groups if self._by_server(g)]
        answers = iter(await self._server.score(asked) if asked else [])
        return [next(answers) if self._by_server(g) else self._read(g) for g in groups]

    def _by_server(self, group: Group) -> bool:
        number = re.search(r"\d+", group.problem or "")
        return number is not None and int(number[0]) % JUDGED_BY_SERVER == 0

    def _read(self, group: Group) -> JudgeGroup:
        items = [
            JudgeScored(valid=p >= 0.5, score=p, verdict="valid" if p >= 0.5 else "invalid")
            for p in map(p_valid, group.candidates)
        ]
        return JudgeGroup(id=group.id or "", candidates=items)


class Garbage:
    """ASGI middleware: while it is on, scoring requests get one kind of rubbish after the other."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._kinds = itertools.cycle(GARBAGE)
        self.on = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not (self.on and scope["type"] == "http" and scope["method"] == "POST"):
            await self._app(scope, receive, send)
            return
        while (await receive()).get("more_body"):
            pass
        status, body = next(self._kinds)
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": body})


def scorer_of(name: str) -> Scorer[Any]:
    if name == "verify":
        from rewright.service.scorers.verify.scorer import AnswerVerifier

        return AnswerVerifier(workers=2, cpu_s=5.0, memory_mb=1024, queue=100_000)
    if name == "judge":
        from rewright.service.scorers.judge.openai_backend import OpenAIJudge
        from rewright.service.scorers.judge.prompt import JudgePrompt

        return JudgeByTextAndServer(
            OpenAIJudge(
                base_urls=[os.environ["CHAOS_JUDGE"]],
                model="fake",
                api_key=None,
                prompt=JudgePrompt.load("label-v1"),
                threshold=0.5,
                both_orders=False,
                samples=1,
                concurrency=64,
                call_timeout_s=10.0,
            )
        )
    if name == "nll":
        store = SharedStore(os.environ["CHAOS_REDIS"]) if "CHAOS_REDIS" in os.environ else None
        return CachedScorer(NllByText(), NLL, entries=1_000, shared=store)
    return DiversityByText()


async def main() -> None:
    log_as_json("error")
    name = os.environ["CHAOS_SCORER"]
    scorer, settings = scorer_of(name), load()
    await scorer.open()
    app = create_app(settings, Scorers(**{name: scorer}, local=frozenset({name})))
    garbage = Garbage(app)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, setattr, garbage, "on", True)
    loop.add_signal_handler(signal.SIGUSR2, setattr, garbage, "on", False)
    config = uvicorn.Config(garbage, port=settings.port, log_config=None, access_log=False)
    await GracefulServer(config, app.state.admission, leave_s=settings.leave_s).run_until_signal()
    await scorer.close()


if __name__ == "__main__":
    asyncio.run(main())
