"""Real pods whose answers a test changes on the way out: another status, other fields, other bytes, other times."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from rewright.service.http.app import create_app
from rewright.service.schema import Group, NllGroup
from rewright.service.scorers.base import Scorers
from rewright.service.scorers.remote.scorer import RemoteScorer
from rewright.service.settings import Settings
from tests.live_server import free_port
from tests.plain_scorers import plain_scorers

OFF = dict.fromkeys(("verify", "judge", "nll", "diversity"))


@dataclass
class Reply:
    """What goes out. pieces: the body, sent one after the other with `pause_s` before each but the first."""

    status: int
    headers: dict[str, str]
    pieces: list[bytes]
    pause_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(b"".join(self.pieces))

    def saying(self, content: Any) -> "Reply":
        return Reply(self.status, self.headers, [json.dumps(content).encode()])


Change = Callable[[str, Reply], Reply]


@dataclass
class OddPod:
    """change: told the path and the app's reply; None leaves it. asked: paths of all requests."""

    url: str
    change: Change | None = None
    asked: list[str] = field(default_factory=list)

    def count(self, path: str) -> int:
        return self.asked.count(path)


class _Changing:
    def __init__(self, app: Any, pod: OddPod) -> None:
        self._app = app
        self._pod = pod

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._pod.asked.append(scope["path"])
        if self._pod.change is None:
            await self._app(scope, receive, send)
            return
        reply = Reply(500, {}, [])

        async def keep(message: Any) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                reply.pieces.append(message.get("body", b""))

        await self._app(scope, receive, keep)
        reply = self._pod.change(scope["path"], reply)
        reply.headers.pop("content-length", None)
        headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        for number, piece in enumerate(reply.pieces):
            if number and reply.pause_s:
                await asyncio.sleep(reply.pause_s)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def odd_pod(
    change: Change | None = None, *, port: int = 0, settings: Settings | None = None, **on: Any
) -> Iterator[OddPod]:
    """A pod of the scorers given by name, on a real socket, in a thread of this process."""
    port = port or free_port()
    pod = OddPod(f"http://127.0.0.1:{port}", change)
    app = _Changing(create_app(settings or Settings(), plain_scorers(**{**OFF, **on})), pod)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        threading.Event().wait(0.01)
    assert server.started
    try:
        yield pod
    finally:
        server.should_exit = True
        thread.join(20)


def remote_nll(*urls: str, timeout_s: float = 20.0, **options: Any) -> RemoteScorer[NllGroup]:
    return RemoteScorer("nll", NllGroup, urls=list(urls), timeout_s=timeout_s, **options)


def behind_gateway(nll: Any) -> Scorers:
    """The scorers of a gateway with its NLL elsewhere, and plain ones for the rest."""
    return plain_scorers(nll=nll)


def groups(count: int, *, start: int = 0, size: int = 2, name: str = "g") -> list[Group]:
    """Groups whose candidates have the NLL 1, 2, …"""
    numbers = range(start, start + count)
    texts = [f"nll={k + 1}" for k in range(size)]
    return [Group(id=f"{name}{n}", problem=f"problem {n}", candidates=texts) for n in numbers]


def nlls(results: Sequence[Any]) -> list[list[Any]]:
    """Each group's numbers, the code of the failure where there is none."""
    return [[c.nll if c.status == "scored" else c.error.code for c in group.candidates] for group in results]


def run(scorer: Any, scenario: Callable[[Any], Any]) -> Any:
    """The scenario over the opened scorer, in an event loop of its own."""

    async def opened() -> Any:
        await scorer.open()
        try:
            return await scenario(scorer)
        finally:
            await scorer.close()

    return asyncio.run(opened())


async def until(holds: Callable[[], object], *, seconds: float = 20.0) -> None:
    """Wait for what must come true by itself."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  what is waited for happens in another thread too
            await asyncio.sleep(0.02)
