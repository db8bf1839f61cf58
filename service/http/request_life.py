"""A request's life: its id, its deadline, and the end of its work when the caller leaves."""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rewright.service.core.request_context import adopt_request_id
from rewright.service.errors import DeadlineExceeded
from rewright.service.ops.metrics import Metrics

log = logging.getLogger(__name__)
T = TypeVar("T")


class CallerGone(Exception):
    """The caller closed the connection; nobody will read an answer."""


async def body_read_by(due: float, reading: Awaitable[T]) -> T:
    """What `reading` gives. Raises `DeadlineExceeded` at `due` (monotonic) and `CallerGone` when the caller leaves."""
    try:
        async with asyncio.timeout(due - time.monotonic()):
            return await reading
    except TimeoutError:
        raise DeadlineExceeded("the body was not here in time; allow more by X-Deadline-Ms") from None
    except ClientDisconnect:
        raise CallerGone from None


async def while_caller_waits(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of `work`, cancelled when the deadline passes (`DeadlineExceeded`) or the caller left (`CallerGone`).

    The body must have been read, since both are heard of by the same messages.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        done, _ = await asyncio.wait({working, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            return working.result()
        if leaving in done:
            raise CallerGone
        raise DeadlineExceeded(
            f"not done in {seconds:g} s; send fewer groups, or allow more by X-Deadline-Ms or the setting deadline_s"
        )
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class RequestRecord:
    """ASGI middleware: gives every request its id, counts and times it, and logs one line of it.

    Every answer names this process, and for how long it is there, so that a caller knows whether one that it lost is
    the one that it speaks to. born: when that began, monotonic.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, born: float) -> None:
        self._app = app
        self._metrics = metrics
        self._name = uuid.uuid4().hex[:16]
        self._born = born

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = adopt_request_id(Headers(scope=scope).get("x-request-id"))
        started = time.monotonic()
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                headers["X-Process"] = f"{self._name} {time.monotonic() - self._born:.3f}"
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.monotonic() - started
            # Unknown paths share one label, else a scanner could grow the metrics without end.
            route = scope.get("route")
            path = getattr(route, "path", "unknown")
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.request_seconds.labels(path).observe(seconds)
            level = logging.DEBUG if path in {"/healthz", "/readyz", "/metrics"} else logging.INFO
            log.log(level, "%s %s %d %.3fs", scope["method"], path, status, seconds)
