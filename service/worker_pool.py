"""Processes with a hard deadline and a memory cap: kill, replace, report. Knows nothing about maths.

Promises
- One item at a time in a child; limits count from the start of work: CPU seconds, a wall-clock backstop three times as
  long, memory. A child that overruns, dies, hangs, floods or answers nonsense is killed and replaced.
- Two lanes. The fast lane gives an item a short first try. What fails there (overran, out of memory, died) is tried
  once more, alone and with the full limits, in the slow lane, which has children of its own: poison never queues in
  front of the innocent. The slow lane is bounded; when it is full the first failure is reported at once.
- A bounded queue that refuses at once (`Overloaded`), nothing queued; fair shares between callers (by request id).
  Callers who left are skipped.
- Children come from a forkserver that preloaded the worker module, so no process holding threads or an accelerator is
  ever forked, and they end with the parent, even when it is killed.

Not covered: what an item means, and any sandbox beyond process limits. Linux only.
"""

import asyncio
import json
import multiprocessing
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from service.batching import QueueState
from service.errors import Overloaded, ScorerUnavailable
from service.fair_queue import FairQueue
from service.request_context import request_id
from service.worker_process import Failure, Outcome, Value, WorkerProcess

__all__ = ["Failure", "Outcome", "Value", "WorkerPool"]


WALL_FACTOR = 3
FIRST_WALL_S = 3.0
_HEAD_START = 32
"""Items of a newcomer that go before the shares of those already waiting."""
_NICENESS = {"fast": 0, "slow": 10}
"""Where cores are few, what overran once must not slow those in front of it."""


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
    caller: str | None


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
        first_try_s = min(first_try_s, cpu_s)
        # A short first try is short in CPU seconds; in wall-clock time a loaded machine must not send the innocent to
        # the slow lane, where they may find no room.
        patience_s = max(WALL_FACTOR * first_try_s, min(FIRST_WALL_S, WALL_FACTOR * cpu_s))
        self._limits = {"fast": (first_try_s, patience_s), "slow": (cpu_s, WALL_FACTOR * cpu_s)}
        self._sizes = {"fast": workers, "slow": slow_workers}
        self._queues: dict[str, FairQueue[_Item]] = {lane: FairQueue(head_start=_HEAD_START) for lane in self._sizes}
        self._changed = threading.Condition()
        self._working = 0  # items in a child's hands, which may yet move to the slow lane
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._children: set[WorkerProcess] = set()
        self._last_worked: float | None = None
        self._done = 0
        self._busy_s = 0.0

    def start(self) -> None:
        context = multiprocessing.get_context("forkserver")
        # Without effect where some other part of the process has started the forkserver already: slower, not wrong.
        context.set_forkserver_preload([self._target.partition(":")[0], "service.worker_process"])
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
        caller = request_id.get()
        fast = self._queues["fast"]
        with self._changed:
            if self._closing or not self.alive:
                raise ScorerUnavailable("the worker pool is not running")
            over = len(fast) + len(payloads) - self._capacity
            if len(fast) and over > 0:
                raise Overloaded(
                    f"worker pool: {len(fast)} of {self._capacity} waiting, {len(payloads)} asked for",
                    retry_after=self._seconds_of(min(over, len(fast))),
                )
            entries = [fast.push(caller, _Item(body, call, index, caller), 1) for index, body in enumerate(bodies)]
            self._changed.notify_all()
        try:
            await asyncio.wrap_future(call.done)
        except asyncio.CancelledError:
            with self._changed:
                for entry in entries:
                    fast.take(entry, served=False)
            raise
        return [outcome for outcome in call.outcomes if outcome is not None]

    @property
    def alive(self) -> bool:
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        return len(self._queues["fast"])

    def last_worked(self) -> float | None:
        """`time.monotonic()` of the last finished item; None before it and once a thread died."""
        return self._last_worked if self.alive else None

    def state(self) -> QueueState:
        """Of both lanes; an item is a batch of one, its cost 1."""
        with self._changed:
            waiting = sum(map(len, self._queues.values()))
            oldest = max(queue.oldest_wait_s() for queue in self._queues.values())
            return QueueState(waiting, waiting, oldest, self._done, self._done, self._done, self._busy_s)

    def _seconds_of(self, items: int) -> float:
        """How long so many items take the fast lane; one second before anything was measured."""
        return 1.0 if not self._done else max(1.0, items * self._busy_s / self._done / self._sizes["fast"])

    def child_pids(self) -> list[int]:
        with self._changed:
            return [child.pid for child in self._children]

    # --- one thread a child -------------------------------------------------------------------------------------------

    def _serve(self, lane: str) -> None:
        child: WorkerProcess | None = self._new_child(lane)
        try:
            while (item := self._take(lane)) is not None:
                if child is None or not child.usable:
                    self._end(child)
                    child = self._new_child(lane)
                if child is None:
                    self._settle(lane, item, Failure("no_worker", 1))
                    continue
                cpu_s, wall_s = self._limits[lane]
                started = time.monotonic()
                outcome = child.work(item.body, cpu_s=cpu_s, wall_s=wall_s)
                # Before the waiter hears of it: whoever has an answer must not find the pool idle.
                with self._changed:
                    self._last_worked = time.monotonic()
                    self._done += 1
                    self._busy_s += self._last_worked - started
                self._settle(lane, item, outcome)
        finally:
            self._end(child)

    def _take(self, lane: str) -> _Item | None:
        """The next item whose caller still waits; None when closing and nothing is left that could come here."""
        queue = self._queues[lane]
        with self._changed:
            while True:
                while (entry := queue.peek()) is not None:
                    queue.take(entry)
                    if not entry.item.call.done.cancelled():
                        self._working += 1
                        return entry.item
                if self._closing and not len(self._queues["fast"]) and (lane == "fast" or not self._working):
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
                    self._queues["slow"].push(item.caller, item, 1)
                    return
            call = item.call
            call.outcomes[item.index] = outcome
            call.left -= 1
            finished = call.left == 0
        if finished and call.done.set_running_or_notify_cancel():
            call.done.set_result(None)

    def _new_child(self, lane: str) -> WorkerProcess | None:
        try:
            child = WorkerProcess(self._target, self._memory_mb, self._recycle_after, _NICENESS[lane])
        except (OSError, EOFError):
            # No process or descriptor left; a pause keeps the thread from spinning.
            time.sleep(0.1)
            return None
        with self._changed:
            self._children.add(child)
        return child

    def _end(self, child: WorkerProcess | None) -> None:
        if child is not None:
            child.kill()
            with self._changed:
                self._children.discard(child)
