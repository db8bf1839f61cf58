"""The real app behind faults that a test lines up: each scoring request meets the next fault, then the app itself."""

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from rewright.service.http.app import create_app
from rewright.service.scorers.base import Scorers
from rewright.service.settings import Settings
from tests.live_server import free_port


@dataclass(frozen=True)
class Answered:
    """An answer in place of the app's."""

    status: int
    code: str | None = None
    retryable: bool = True
    retry_after: str | None = None
    content: bytes | None = None
    """A body of the test's own, whatever `code` says."""


DROPPED = "dropped"
"""The connection ends in the middle of an answer."""
SILENT = "silent"
"""No answer for a long time."""


@dataclass
class FaultyServer:
    url: str
    faults: deque[Any] = field(default_factory=deque)
    asked: list[tuple[float, dict[str, str], list[str]]] = field(default_factory=list)
    """Each scoring request: when, its headers, the ids of its groups."""
    under_way: int = 0
    most_under_way: int = 0

    @property
    def ids(self) -> list[list[str]]:
        return [ids for _, _, ids in self.asked]


class _Faults:
    def __init__(self, app: Any, state: FaultyServer) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        state = self._state
        state.asked.append((time.monotonic(), headers, [g.get("id") for g in json.loads(body)["groups"]]))
        state.under_way += 1
        state.most_under_way = max(state.most_under_way, state.under_way)
        try:
            await self._answer(scope, receive, send, body)
        finally:
            state.under_way -= 1

    async def _answer(self, scope: Any, receive: Any, send: Any, body: bytes) -> None:
        fault = self._state.faults.popleft() if self._state.faults else None
        if fault == SILENT:
            await receive()
        elif fault == DROPPED:
            start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]}
            await send(start)
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionAbortedError("as the test says")
        elif isinstance(fault, Answered):
            headers = [(b"retry-after", fault.retry_after.encode())] if fault.retry_after else []
            error = {"code": fault.code, "message": "as the test says", "retryable": fault.retryable, "detail": None}
            content = json.dumps({"error": error}).encode() if fault.code else b"<html>not ours</html>"
            content = fault.content if fault.content is not None else content
            await send({"type": "http.response.start", "status": fault.status, "headers": headers})
            await send({"type": "http.response.body", "body": content})
        else:
            given = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def again() -> Any:
                return next(given, None) or await receive()

            await self._app(scope, again, send)


@contextmanager
def serve_faulty(scorers: Scorers, *faults: Any, port: int | None = None) -> Iterator[FaultyServer]:
    """On a real socket of loopback, in a thread; the scorers need no opening."""
    chosen = port or free_port()
    state = FaultyServer(f"http://127.0.0.1:{chosen}", deque(faults))
    app = _Faults(create_app(Settings(), scorers), state)
    config = uvicorn.Config(app, host="127.0.0.1", port=chosen, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    assert server.started
    try:
        yield state
    finally:
        server.should_exit = True
        thread.join(20)
