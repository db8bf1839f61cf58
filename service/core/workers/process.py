"""One worker process as its parent sees it: start, hand over an item, wait within a deadline, kill.

Nothing here blocks past a deadline or trusts what comes back: a reply has a largest size and is JSON. Not covered: what
to do about a failure, which is `rewright.service.core.workers.pool`'s.
"""

import json
import multiprocessing
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

from rewright.service.core.workers.child import REPLY, REQUEST, serve

_MAX_RESULT_BYTES = 4 * 1024 * 1024
_START_S = 60.0
_PAGE = resource.getpagesize()
LINGERS_S = 0.1
"""CPU seconds after which an item is said to linger; most answers need a tenth of it."""

_TICK_S = 0.2
"""How often a child at work is looked at: what it uses of memory tells later who ended it."""
_BUSY_SHARE = 0.02
"""A child that uses less of a core than this, all through its wall-clock limit, hangs; else the machine is busy."""
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
"""Signals that no item raises in its own process: an operator, the kernel short of memory, or the forkserver's end."""

FailureKind = Literal["overran", "out_of_memory", "died", "raised", "stalled", "killed", "no_worker", "unfinished"]


@dataclass(frozen=True, slots=True)
class Value:
    """The worker's result, a JSON value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """No result. tries: how often the item was worked on.

    What an item does: `overran` its CPU seconds, went `out_of_memory`, `died` of itself; `raised` is an exception of
    the worker function, which is not tried again. What befalls it: `stalled` without using its CPU seconds until the
    wall-clock limit, `killed` from outside, `no_worker` to be had, `unfinished` when its caller had no more time.

    own_doing: the item itself was past a limit twice, the second time alone, and so would be again.
    """

    kind: FailureKind
    tries: int
    detail: str | None = None
    own_doing: bool = False


Outcome = Value | Failure


class WorkerProcess:
    """One worker process and the parent's end of its socket. Nothing here blocks past a deadline."""

    _starting = threading.Lock()

    def __init__(self, target: str, memory_mb: int, recycle_after: int) -> None:
        self._ours, theirs = socket.socketpair()
        try:
            with self._starting, _without_main():
                self._process = multiprocessing.get_context("forkserver").Process(
                    target=serve, args=(theirs, target, memory_mb, recycle_after), daemon=True
                )
                self._process.start()
        except BaseException:
            self._ours.close()
            raise
        finally:
            theirs.close()
        self._ours.setblocking(False)
        self._memory = memory_mb << 20
        self._resident_at_start = self._most_resident = 0
        self.usable = True
        ready = self._exchange(b"", time.monotonic() + _START_S)
        if not isinstance(ready, list) or ready[0] != "ready":
            self.kill()
            raise OSError("a worker process did not start")
        self._resident_at_start = self._resident()

    @property
    def alive(self) -> bool:
        """Whether the process runs, asked of the kernel: it may have been killed while nobody looked."""
        return self._process.exitcode is None

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def renice(self, by: int) -> None:
        """Lower the priority to `by` steps below the parent's, forever: only the privileged could raise it again."""
        with suppress(OSError):  # dead already, which `work` will report
            os.setpriority(os.PRIO_PROCESS, self.pid, os.getpriority(os.PRIO_PROCESS, 0) + by)

    def work(self, body: bytes, *, cpu_s: float, wall_s: float, lingers: Callable[[], None] | None = None) -> Outcome:
        """One item within its limits. `lingers` is called once if it takes more than LINGERS_S CPU seconds.

        wall_s is a backstop for what hangs; an item that is using its CPU seconds on a busy machine goes on after it.
        """
        started = time.monotonic()
        self._most_resident = 0
        watch = None if lingers is None else _Watch(lingers, self._cpu_seconds() + LINGERS_S)
        reply = self._exchange(REQUEST.pack(len(body), cpu_s) + body, started + wall_s, watch, wall_s=wall_s)
        if isinstance(reply, Failure):
            self._stop()
            return reply
        kind, result, retiring = reply
        self.usable = not retiring
        if kind == "value":
            return Value(result)
        if kind == "out_of_memory":
            return Failure("out_of_memory", 1)
        return Failure("raised", 1, str(result))

    def kill(self) -> None:
        """End the process and give its descriptors back. Waits for the kernel to take it down."""
        self._stop()
        self._ours.close()
        if self._process.exitcode is None:
            self._process.join()

    def _stop(self) -> None:
        """Nothing runs any more when this returns, though the memory may take a moment to be given back."""
        self.usable = False
        if self._process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _cpu_seconds(self) -> float:
        """CPU seconds the process has used; 0 when it is gone, which `work` will report."""
        try:
            # The clock of a process, as clock_getcpuclockid(3) makes it on Linux.
            return time.clock_gettime((~self.pid << 3) | 2)
        except OSError:
            return 0.0

    def _resident(self) -> int:
        """Bytes of memory that the process holds; 0 when it is gone."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as statm:
                return int(statm.read().split()[1]) * _PAGE
        except (OSError, IndexError):
            return 0

    def _exchange(
        self, out: bytes, deadline: float, watch: "_Watch | None" = None, *, wall_s: float | None = None
    ) -> Any:
        """Send `out`, read one whole frame: its content, or a `Failure` where none came in time or in form.

        wall_s: how much longer, again and again, a process has that is busy at the deadline.
        """
        pending, received = memoryview(out), bytearray()
        poller = select.poll()
        busy_before = self._cpu_seconds()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                busy = self._cpu_seconds()
                if wall_s is None or busy - busy_before < _BUSY_SHARE * wall_s:
                    return Failure("stalled", 1)
                busy_before, deadline = busy, deadline + wall_s
                continue
            poller.register(self._ours, select.POLLIN | (select.POLLOUT if pending else 0))
            if not poller.poll(1000 * min(left, _TICK_S if watch is None else LINGERS_S / 2)):
                self._most_resident = max(self._most_resident, self._resident())
                if watch is not None and self._cpu_seconds() >= watch.at_cpu_s:
                    watch.tell()
                    watch = None
                continue
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
            return Failure("overran", 1)
        if code is None or -code in _FROM_OUTSIDE:
            # The kernel takes the largest when memory is short; one that was growing has brought it on itself.
            grown = self._most_resident - self._resident_at_start > self._memory // 2
            return Failure("out_of_memory" if grown else "killed", 1)
        return Failure("died", 1, f"exit code {code}")


def _decoded(body: bytes) -> Any:
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        return Failure("died", 1, "answered nonsense")
    return reply if isinstance(reply, list) and len(reply) == 3 else Failure("died", 1, "answered nonsense")


class _Watch(NamedTuple):
    """Whom to tell when the process has used so many CPU seconds in all."""

    tell: Callable[[], None]
    at_cpu_s: float


def preload(target: str) -> None:
    """Have the forkserver import the worker function's module before it forks the first child. Without effect where
    some other part of the process has started the forkserver already: slower, not wrong."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([target.partition(":")[0], __name__])


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
