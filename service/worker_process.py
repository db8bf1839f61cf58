"""One worker process as its parent sees it: start, hand over an item, wait within a deadline, kill.

Nothing here blocks past a deadline or trusts what comes back: a reply has a largest size and is JSON. Not covered: what
to do about a failure, which is `service.worker_pool`'s.
"""

import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from service.worker_child import REPLY, REQUEST, serve

_MAX_RESULT_BYTES = 4 * 1024 * 1024
_START_S = 60.0

FailureKind = Literal["overran", "out_of_memory", "died", "raised", "no_worker"]


@dataclass(frozen=True, slots=True)
class Value:
    """The worker's result, a JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """No result. `tries` is how often the item was worked on: 1 where the slow lane had no room for the second try.

    `raised` is an exception of the worker function and is not tried again; `no_worker` means no process could be
    started, which is never the item's doing.
    """

    kind: FailureKind
    tries: int
    detail: str | None = None


Outcome = Value | Failure


class WorkerProcess:
    """One worker process and the parent's end of its socket. Nothing here blocks past a deadline."""

    _starting = threading.Lock()

    def __init__(self, target: str, memory_mb: int, recycle_after: int, niceness: int) -> None:
        self._ours, theirs = socket.socketpair()
        try:
            with self._starting, _without_main():
                self._process = multiprocessing.get_context("forkserver").Process(
                    target=serve, args=(theirs, target, memory_mb, recycle_after, niceness), daemon=True
                )
                self._process.start()
        except BaseException:
            self._ours.close()
            raise
        finally:
            theirs.close()
        self._ours.setblocking(False)
        self.usable = True
        ready = self._exchange(b"", time.monotonic() + _START_S)
        if not isinstance(ready, list) or ready[0] != "ready":
            self.kill()
            raise OSError("a worker process did not start")

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def work(self, body: bytes, *, cpu_s: float, wall_s: float) -> Outcome:
        reply = self._exchange(REQUEST.pack(len(body), cpu_s) + body, time.monotonic() + wall_s)
        if isinstance(reply, Failure):
            self.kill()
            return reply
        kind, result, retiring = reply
        self.usable = not retiring
        if kind == "value":
            return Value(result)
        if kind == "out_of_memory":
            return Failure("out_of_memory", 1)
        return Failure("raised", 1, str(result))

    def kill(self) -> None:
        """End the process and give its descriptors back."""
        self.usable = False
        self._ours.close()
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self._process.join()

    def _exchange(self, out: bytes, deadline: float) -> Any:
        """Send `out`, read one whole frame: its content, or a `Failure` where none came in time or in form."""
        pending, received = memoryview(out), bytearray()
        poller = select.poll()
        while True:
            left = deadline - time.monotonic()
            poller.register(self._ours, select.POLLIN | (select.POLLOUT if pending else 0))
            if left <= 0 or not poller.poll(left * 1000):
                return Failure("overran", 1, "wall clock")
            try:
                if pending:
                    with suppress(BlockingIOError):
                        pending = pending[self._ours.send(pending) :]
                with suppress(BlockingIOError):
                    part = self._ours.recv(65_536)
                    if not part:
                        return self._death()
                    received += part
            except OSError:
                return self._death()
            if len(received) >= REPLY.size:
                size = REPLY.unpack_from(received)[0]
                if size > _MAX_RESULT_BYTES or len(received) > size + REPLY.size:
                    return Failure("died", 1, "flooded its pipe")
                if len(received) == size + REPLY.size:
                    return _decoded(bytes(received[REPLY.size :]))

    def _death(self) -> Failure:
        self._process.join(5)
        code = self._process.exitcode
        if code == -signal.SIGPROF:
            return Failure("overran", 1, "CPU time")
        return Failure("died", 1, f"exit code {code}")


def _decoded(body: bytes) -> Any:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return Failure("died", 1, "answered nonsense")
    return reply if isinstance(reply, list) and len(reply) == 3 else Failure("died", 1, "answered nonsense")


@contextmanager
def _without_main() -> Iterator[None]:
    """multiprocessing runs the parent's main script again in every child, which workers do not need and which a script
    without a `__name__` guard does not survive; with a bare main module in its place there is nothing to run."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
