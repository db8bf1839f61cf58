"""Connections that cost something without asking anything: a bound on their number and on their patience.

Promises
- A connection has `HEADERS_S` to send the head of each request, and as long to be done with a body that nobody reads
  any more; idle ones are closed by the server's own keep-alive timeout, and bodies have the request's deadline.
- There are at most so many connections that descriptors are left for workers, pods and files. At the bound the one that
  has kept a head unfinished longest makes room, so that a health check gets through whoever else is there.

Not covered: who may call (`rewright.service.http.auth`), how much work is inside (`rewright.service.core.admission`).
"""

import asyncio
import logging
import os
import resource
import time
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

HEADERS_S = 10.0
DESCRIPTORS = 65_536
"""As many as the process asks of the system, where it may."""
_KEPT_SHARE = 0.25
"""Of the descriptors that are free at the start: for workers, connections to pods and judges, files."""
_SAY_EVERY_S = 10.0


def raise_descriptor_limit() -> None:
    """Lift the soft limit of open descriptors as far as the hard one allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, DESCRIPTORS) if hard != resource.RLIM_INFINITY else DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def connections_that_fit() -> int:
    """How many connections leave enough descriptors for everything else. To be asked once the scorers are open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    free = most - len(os.listdir("/proc/self/fd"))
    return max(8, int(free * (1 - _KEPT_SHARE)))


def bounded(most: int) -> type[HttpToolsProtocol]:
    """The protocol class for a server with at most so many connections."""
    return type("BoundedConnection", (_Connection,), {"most": most, "heads": {}, "said": [0.0]})


class _Connection(HttpToolsProtocol):
    most: ClassVar[int]
    heads: "ClassVar[dict[_Connection, None]]"
    """Those whose head is not finished, the longest waiting first."""
    said: ClassVar[list[float]]
    """When the bound was last told of."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self.most:
            self._tell()
            next(iter(self.heads)).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._patience is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._forget()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        unread = self.cycle is not None and self.cycle.more_body
        super().on_response_complete()
        if unread and self._patience is None and not self.transport.is_closing():
            self._patience = self.loop.call_later(HEADERS_S, self.transport.abort)

    def on_message_complete(self) -> None:
        self._forget()
        super().on_message_complete()

    def _await_head(self) -> None:
        self.heads[self] = None
        self._patience = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _forget(self) -> None:
        self.heads.pop(self, None)
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self.said[0] > _SAY_EVERY_S:
            self.said[0] = now
            log.warning("%d connections are open, as many as there is room for; unfinished ones make way", self.most)
