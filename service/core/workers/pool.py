"""Processes with a hard deadline and a memory cap: kill, replace, report. Knows nothing about maths.

Promises
- One item at a time in a child; limits count from the start of work: CPU seconds, memory, and a wall-clock backstop
  for a child that hangs. A child that overruns, dies, hangs, floods or answers nonsense is killed and replaced.
- Two lanes. The fast lane gives an item a short first try. What does not come through there is tried once more, alone
  and with the full limits, in the slow lane, which has children of its own: poison never queues in front of the
  innocent.
- A failure says whose doing it is (`Failure.own_doing`). Load never makes one of the item's: what its caller's deadline
  finds waiting or at work is `unfinished`, what is killed from outside `killed`. A late result is told all the same
  (`late`), so that the same item asked again is not begun again.
- What overran its first try goes straight to the slow lane when it is asked again: a caller whose deadline came first
  does not pay for another first try each time.
- An item that lingers in the fast lane gives up its place: the next one starts beside it, up to `LINGERING` such items
  a worker. So a handful of overrunners at once does not hold up the fast lane for the length of their first try.
- Killed children are replaced from a reserve (`rewright.service.core.workers.reserve`).
- A bounded queue that refuses at once (`Overloaded`), nothing queued; fair shares between callers (by request id).
  Callers who left are skipped.
- Children come from a forkserver that preloaded the worker module, so no process holding threads or an accelerator is
  ever forked, and they end with the parent, even when it is killed.

Not covered: what an item means, and any sandbox beyond process limits. Linux only.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cachetools import LRUCache

from rewright.service.core.batcher import QueueState
from rewright.service.core.fair_queue import FairQueue
from rewright.service.core.request_context import due, request_id
from rewright.service.core.workers.item import Call, Item, Late, Place
from rewright.service.core.workers.process import Failure, Outcome, Value, WorkerProcess, preload
from rewright.service.core.workers.reserve import SPARE, WorkerReserve
from rewright.service.errors import Overloaded, ScorerUnavailable

__all__ = ["Failure", "Outcome", "Value", "WorkerPool"]


WALL_FACTOR = 3
FIRST_WALL_S = 3.0
LINGERING = 3
_SLOW_NICENESS = 5
"""Where cores are few, what overran once must not slow those in front of it; much lower, and on a machine shared
with others it would never end in time."""
_REHEARSAL_S = 30.0
_OVERRAN_KEPT = 20_000
"""Items that are known to have overrun a first try, by their digest."""
_HEAD_START = 32
"""Items of a newcomer that go before the shares of those already waiting."""


class WorkerPool:
    """Runs `module:function` on JSON payloads in child processes: `workers` at once in the fast lane, beside those that
    linger, and `slow_workers` in the slow one.

    first_try_s, cpu_s: CPU seconds a try may use in the fast and in the slow lane. memory_mb: MiB a child may grow by.
    queue: items that may wait for the fast lane. recycle_after: items a child works on.
    rehearsal: a payload that every new child works on before it is used, so that its first item is no slower.
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
        recycle_after: int = 2_000,
        rehearsal: Any = None,
    ) -> None:
        self._target = target
        self._memory_mb = memory_mb
        self._recycle_after = recycle_after
        self._rehearsal = None if rehearsal is None else json.dumps(rehearsal).encode()
        self._capacity = queue
        first_try_s = min(first_try_s, cpu_s)
        # A short first try is short in CPU seconds; in wall-clock time a loaded machine must not send the innocent to
        # the slow lane, where they may find no room.
        self._first_wall_s = max(WALL_FACTOR * first_try_s, min(FIRST_WALL_S, cpu_s))
        self._first_try_s = first_try_s
        self._cpu_s = cpu_s
        self._workers = workers
        self._sizes = {"fast": workers * (1 + LINGERING), "slow": slow_workers}
        self._reserve = WorkerReserve(self._new_child, most=workers + SPARE)
        self._queues: dict[str, FairQueue[Item]] = {lane: FairQueue(head_start=_HEAD_START) for lane in self._sizes}
        self._lock = threading.Lock()
        self._changed = {"fast": threading.Condition(self._lock), "slow": threading.Condition(self._lock)}
        self._overran: LRUCache[bytes, None] = LRUCache(_OVERRAN_KEPT)
        self._places = workers  # of the fast lane that are free
        self._working = 0  # items in a child's hands, which may yet move to the slow lane
        self._closing = False
        self._threads: list[threading.Thread] = []
        self._last_worked: float | None = None
        self._done = 0
        self._busy_s = 0.0

    def start(self) -> None:
        preload(self._target)
        self._reserve.start()
        for lane, size in self._sizes.items():
            serve = self._serve_fast if lane == "fast" else self._serve_slow
            for number in range(size):
                thread = threading.Thread(target=serve, name=f"pool-{lane}-{number}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Refuse new work, let what is queued finish, end every child. Blocks; may be called twice."""
        with self._lock:
            self._closing = True
            self._wake_all()
        for thread in self._threads:
            thread.join()
        self._reserve.close()

    async def run(self, payloads: Sequence[Any], *, late: Late | None = None) -> list[Outcome]:
        """One outcome per payload in order, at the caller's deadline at the latest (`request_context.due`).

        Raises `Overloaded` when they do not fit into the queue (an empty queue takes any number) and
        `ScorerUnavailable` when the pool is not running. Cancelling drops what has not started.
        """
        if not payloads:
            return []
        call = Call([None] * len(payloads), len(payloads), late)
        bodies = [json.dumps(payload).encode() for payload in payloads]
        caller = request_id.get()
        fast = self._queues["fast"]
        with self._lock:
            if self._closing or not self.alive:
                raise ScorerUnavailable("the worker pool is not running")
            over = len(fast) + len(payloads) - self._capacity
            if len(fast) and over > 0:
                raise Overloaded(
                    f"worker pool: {len(fast)} of {self._capacity} waiting, {len(payloads)} asked for",
                    retry_after=self._seconds_of(min(over, len(fast))),
                )
            items = [Item(body, call, index, caller) for index, body in enumerate(bodies)]
            for item in items:
                if item.digest in self._overran:
                    item.overran_before()
                item.entry = self._queues[item.lane].push(caller, item, 1)
            self._changed["fast"].notify(min(len(bodies), self._places))
            self._changed["slow"].notify(len(bodies))
        ends = due()
        try:
            async with asyncio.timeout(None if ends is None else ends - time.monotonic()):
                await asyncio.wrap_future(call.done)
        except TimeoutError:
            self._give_up(call, items)
        except asyncio.CancelledError:
            self._give_up(call, items)
            raise
        return [o or Failure("unfinished", item.tries) for o, item in zip(call.outcomes, items, strict=True)]

    def _give_up(self, call: Call, items: Sequence[Item]) -> None:
        """Nobody waits any more: what has not begun leaves the queues, what is at work ends without a waiter."""
        with self._lock:
            call.over = True
            for item in items:
                if item.entry is not None:
                    self._queues[item.lane].take(item.entry, served=False)

    @property
    def alive(self) -> bool:
        return bool(self._threads) and self._reserve.alive and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        return len(self._queues["fast"])

    def last_worked(self) -> float | None:
        """`time.monotonic()` of the last finished item; None before it and once a thread died."""
        return self._last_worked if self.alive else None

    def state(self) -> QueueState:
        """Of both lanes; an item is a batch of one, its cost 1."""
        with self._lock:
            waiting = sum(map(len, self._queues.values()))
            oldest = max(queue.oldest_wait_s() for queue in self._queues.values())
            return QueueState(waiting, waiting, oldest, self._done, self._done, self._done, self._busy_s)

    def _seconds_of(self, items: int) -> float:
        """How long so many items take the fast lane; one second before anything was measured."""
        return 1.0 if not self._done else max(1.0, items * self._busy_s / self._done / self._workers)

    def child_pids(self) -> list[int]:
        return self._reserve.pids()

    # --- threads: one an item in hand ---------------------------------------------------------------------------------

    def _serve_fast(self) -> None:
        while (item := self._take("fast")) is not None:
            child = self._reserve.take()
            place = Place(self._free_place)
            outcome = self._work(child, item, cpu_s=self._first_try_s, wall_s=self._first_wall_s, lingers=place.give_up)
            if child is not None:
                self._reserve.give_back(child)
            place.give_up()
            self._settle(item, outcome)

    def _serve_slow(self) -> None:
        child: WorkerProcess | None = None
        while (item := self._take("slow")) is not None:
            if child is None or not (child.usable and child.alive):
                if child is not None:
                    self._reserve.give_back(child)
                child = self._reserve.take()
                if child is not None:
                    child.renice(_SLOW_NICENESS)
            outcome = self._work(child, item, cpu_s=self._cpu_s, wall_s=WALL_FACTOR * self._cpu_s)
            self._settle(item, outcome)

    def _work(
        self,
        child: WorkerProcess | None,
        item: Item,
        *,
        cpu_s: float,
        wall_s: float,
        lingers: Callable[[], None] | None = None,
    ) -> Outcome:
        if child is None:
            return Failure("no_worker", 1)
        started = time.monotonic()
        outcome = child.work(item.body, cpu_s=cpu_s, wall_s=wall_s, lingers=lingers)
        # Before the waiter hears of it: whoever has an answer must not find the pool idle.
        with self._lock:
            self._last_worked = time.monotonic()
            self._done += 1
            self._busy_s += self._last_worked - started
        return outcome

    def _take(self, lane: str) -> Item | None:
        """The next item whose caller still waits; None when closing and nothing is left that could come here."""
        queue = self._queues[lane]
        with self._lock:
            while True:
                while (lane == "slow" or self._places) and (entry := queue.peek()) is not None:
                    queue.take(entry)
                    entry.item.entry = None
                    if not entry.item.call.over:
                        self._working += 1
                        self._places -= lane == "fast"
                        return entry.item
                if self._closing and not self._queues["fast"] and (lane == "fast" or not (self._working or queue)):
                    return None
                self._changed[lane].wait()

    def _free_place(self) -> None:
        with self._lock:
            self._places += 1
            self._changed["fast"].notify()

    def _settle(self, item: Item, outcome: Outcome) -> None:
        call = item.call
        item.tries += 1
        again = isinstance(outcome, Failure) and item.may_try_again(outcome)
        if isinstance(outcome, Failure):
            outcome = replace(outcome, tries=item.tries, own_doing=item.own_failures > 1)
        with self._lock:
            self._working -= 1
            if self._closing:
                self._wake_all()
            if again and item.own_failures:
                self._overran[item.digest] = None
            if again and not call.over:
                item.entry = self._queues["slow"].push(item.caller, item, 1)
                self._changed["slow"].notify()
                return
            if not call.over:
                call.outcomes[item.index] = outcome
                call.left -= 1
            finished, over = call.left == 0, call.over
        if over:
            if call.late is not None:
                call.late(item.index, outcome)
        elif finished and call.done.set_running_or_notify_cancel():
            call.done.set_result(None)

    def _wake_all(self) -> None:
        for changed in self._changed.values():
            changed.notify_all()

    def _new_child(self) -> WorkerProcess:
        child = WorkerProcess(self._target, self._memory_mb, self._recycle_after)
        if self._rehearsal is not None:
            outcome = child.work(self._rehearsal, cpu_s=_REHEARSAL_S, wall_s=WALL_FACTOR * _REHEARSAL_S)
            if not isinstance(outcome, Value):
                child.kill()
                raise OSError("a worker process failed its rehearsal")
        return child
