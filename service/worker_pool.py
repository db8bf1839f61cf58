"""Processes with a hard deadline and a memory cap: kill, replace, report. Knows nothing about maths.

Promises
- One item at a time in a child; limits count from the start of work: CPU seconds, a wall-clock backstop three times as
  long, memory. A child that overruns, dies, hangs, floods or answers nonsense is killed and replaced.
- Two lanes. The fast lane gives an item a short first try. What fails there (overran, out of memory, died) is tried
  once more, alone and with the full limits, in the slow lane, which has children of its own: poison never queues in
  front of the innocent. The slow lane is bounded; when it is full the first failure is reported at once.
- A bounded queue that refuses at once (`Overloaded`), nothing queued. Callers who left are skipped.
- Children come from a forkserver that preloaded the worker module, so no process holding threads or an accelerator is
  ever forked, and they end with the parent, even when it is killed.

Not covered: what an item means, fairness between callers, and any sandbox beyond process limits. Linux only.
"""

import asyncio
import json
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

from service.errors import Overloaded, ScorerUnavailable
from service.worker_child import REPLY, REQUEST, serve

WALL_FACTOR = 3
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


@dataclass(slots=True)
class _Call:
    """One `run`: its outcomes in order, and who waits for them."""

    outcomes: list[Outcome | None]
    left: int
    done: "Future[None]" = field(default_factory=Future)


@dataclass(slots=True)
class _Item:
    body: bytes
    call: _Call
    index: int


class WorkerPool:
    """Runs `module:function` on JSON payloads in `workers` fast and `slow_workers` slow child processes.

    first_try_s, cpu_s: CPU seconds a try may use in the fast and in the slow lane. memory_mb: MiB a child may grow by.
    queue: items that may wait for the fast lane; slow_queue: for the slow one. recycle_after: items a child works on.
    """

    def __init__(
        self,
        target: str,
        *,
        workers: int,
        cpu_s: float,
        memory_mb: int,
        queue: int,
        first_try_s: float,
        slow_workers: int,
        slow_queue: int,
        recycle_after: int = 2_000,
    ) -> None:
        self._target = target
        self._memory_mb = memory_mb
        self._recycle_after = recycle_after
        self._capacity = queue
        self._slow_capacity = slow_queue
        self._limits = {"fast": min(first_try_s, cpu_s), "slow": cpu_s}
        self._sizes = {"fast": workers, "slow": slow_workers}
        self._queues: dict[str, deque[_Item]] = {"fast": deque(), "slow": deque()}
        self._changed = threading.Condition()
        self._working = 0  # items in a child's hands, which may yet move to the slow lane
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._children: set[_Child] = set()
        self._last_worked: float | None = None

    def start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        # Without effect where some other part of the process has started the forkserver already: slower, not wrong.
        context.set_forkserver_preload([self._target.partition(":")[0], __name__])
        for lane, size in self._sizes.items():
            for number in range(size):
                thread = threading.Thread(target=self._serve, args=(lane,), name=f"pool-{lane}-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Refuse new work, let what is queued finish, end every child. Blocks; may be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    async def run(self, payloads: Sequence[Any]) -> list[Outcome]:
        """One outcome a payload in order. Raises `Overloaded` when they do not fit into the queue (an empty queue takes
        any number) and `ScorerUnavailable` when the pool is not running. Cancelling drops what has not started.
        """
        if not payloads:
            return []
        call = _Call([None] * len(payloads), len(payloads))
        bodies = [json.dumps(payload).encode() for payload in payloads]
        fast = self._queues["fast"]
        with self._changed:
            if self._closing or not self.alive:
                raise ScorerUnavailable("the worker pool is not running")
            if fast and len(fast) + len(payloads) > self._capacity:
                raise Overloaded(f"worker pool: {len(fast)} of {self._capacity} waiting, {len(payloads)} asked for")
            fast.extend(_Item(body, call, index) for index, body in enumerate(bodies))
            self._changed.notify_all()
        await asyncio.wrap_future(call.done)
        return [outcome for outcome in call.outcomes if outcome is not None]

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        return len(self._queues["fast"])

    def last_worked(self) -> float | None:
        return self._last_worked

    def child_pids(self) -> list[int]:
        with self._changed:
            return [child.pid for child in self._children]

    # --- one thread a child -------------------------------------------------------------------------------------------

    def _serve(self, lane: str) -> None:
        child: _Child | None = self._new_child()
        try:
            while (item := self._take(lane)) is not None:
                if child is None or not child.usable:
                    self._end(child)
                    child = self._new_child()
                if child is None:
                    self._settle(lane, item, Failure("no_worker", 1))
                    continue
                self._settle(lane, item, child.work(item.body, self._limits[lane]))
                self._last_worked = time.monotonic()
        finally:
            self._end(child)

    def _take(self, lane: str) -> _Item | None:
        """The next item whose caller still waits; None when closing and nothing is left that could come here."""
        queue = self._queues[lane]
        with self._changed:
            while True:
                while queue:
                    item = queue.popleft()
                    if not item.call.done.cancelled():
                        self._working += 1
                        return item
                if self._closing and not self._queues["fast"] and (lane == "fast" or not self._working):
                    return None
                self._changed.wait()

    def _settle(self, lane: str, item: _Item, outcome: Outcome) -> None:
        with self._changed:
            self._working -= 1
            self._changed.notify_all()
            if isinstance(outcome, Failure) and outcome.kind in ("overran", "out_of_memory", "died"):
                if lane == "slow":
                    outcome = Failure(outcome.kind, 2, outcome.detail)
                elif len(self._queues["slow"]) < self._slow_capacity:
                    self._queues["slow"].append(item)
                    return
            call = item.call
            call.outcomes[item.index] = outcome
            call.left -= 1
            finished = call.left == 0
        if finished and call.done.set_running_or_notify_cancel():
            call.done.set_result(None)

    def _new_child(self) -> "_Child | None":
        try:
            child = _Child(self._target, self._memory_mb, self._recycle_after)
        except (OSError, EOFError):
            # No process or descriptor left; a pause keeps the thread from spinning.
            time.sleep(0.1)
            return None
        with self._changed:
            self._children.add(child)
        return child

    def _end(self, child: "_Child | None") -> None:
        if child is not None:
            child.kill()
            with self._changed:
                self._children.discard(child)


class _Child:
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
        self.usable = True
        ready = self._exchange(b"", time.monotonic() + _START_S)
        if not isinstance(ready, list) or ready[0] != "ready":
            self.kill()
            raise OSError("a worker process did not start")

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def work(self, body: bytes, cpu_s: float) -> Outcome:
        reply = self._exchange(REQUEST.pack(len(body), cpu_s) + body, time.monotonic() + WALL_FACTOR * cpu_s)
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
