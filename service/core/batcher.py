"""A bounded queue that turns whatever waits into budgeted batches on one thread.

There is no timer: what arrived while the device was busy is the next batch. Callers (by request id) get fair shares, so
that a large request does not starve a small one. A full queue refuses at once (`Overloaded`) and says when to come
again, callers who left are dropped, a batch that raises is tried again item by item once, and if the thread itself dies
every waiter fails and `last_worked` is None from then on.

Knows nothing about scoring: an item is anything with a cost, a result whatever `run` returns for it.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from rewright.service.core import tracing
from rewright.service.core.fair_queue import FairQueue
from rewright.service.core.request_context import due, request_id
from rewright.service.errors import OutOfTime, Overloaded, ScorerUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueState(NamedTuple):
    """What waits and what was done since the start. Cost is in the queue's own unit, tokens for models."""

    waiting: int
    waiting_cost: int
    oldest_wait_s: float
    batches: int = 0
    batch_items: int = 0
    batch_cost: int = 0
    busy_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    cost: int
    trace: tracing.Place = field(default_factory=tracing.here)
    future: "Future[Result]" = field(default_factory=Future)


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class Batcher(Generic[Item, Result]):
    """Runs `run(items) -> results` (same length, same order) on one thread of its own.

    budget: the largest summed cost of one batch (an item dearer than that runs alone).
    capacity: the largest summed cost that may wait.
    turn: held while `run` works, so that several batchers on one device take turns instead of fighting for it.
    worked: whether a result shows that the device did its work; a batch without any such result is no sign of life.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        cost: Callable[[Item], int],
        *,
        budget: int,
        capacity: int,
        turn: AbstractContextManager[object] | None = None,
        worked: Callable[[Result], bool] = lambda result: True,
    ) -> None:
        self._name = name
        self._run = run
        self._cost = cost
        self._budget = budget
        self._capacity = capacity
        self._turn = turn if turn is not None else nullcontext()
        self._worked = worked
        self._queue: FairQueue[_Waiting[Item, Result]] = FairQueue(head_start=budget)
        self._changed = threading.Condition()
        self._closing = False
        self._died = False
        self._thread: threading.Thread | None = None
        self._last_worked: float | None = None
        self._rate: float | None = None
        self._done = QueueState(0, 0, 0.0)

    # --- for the event loop -------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name=f"batcher-{self._name}", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Finish what was accepted, then end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def submit(self, items: Sequence[Item]) -> list[Result | Exception]:
        """One result per item in order; an item that raised even alone has its exception in its place, and one that the
        caller's deadline (`request_context.due`) found unfinished has `OutOfTime`.

        Raises `Overloaded` (nothing was queued) when the items do not fit into the queue, and `ScorerUnavailable` when
        the thread is gone. Cancelling the call drops what has not started.
        """
        waiting = [_Waiting[Item, Result](item, self._cost(item)) for item in items]
        total = sum(w.cost for w in waiting)
        caller = request_id.get()
        with self._changed:
            if self._closing or not self.alive:
                raise ScorerUnavailable(f"{self._name} is not running")
            # An empty queue takes anything, else work larger than the whole queue could never be done.
            over = self._queue.cost + total - self._capacity
            if self._queue.cost and over > 0:
                raise Overloaded(
                    f"{self._name} has no room: {self._queue.cost} of {self._capacity} in use, {total} asked for",
                    retry_after=self._seconds_of(min(over, self._queue.cost)),
                )
            entries = [self._queue.push(caller, w, w.cost) for w in waiting]
            self._changed.notify_all()
        futures = [asyncio.wrap_future(w.future) for w in waiting]
        ends = due()
        try:
            await asyncio.wait(futures, timeout=None if ends is None else max(0.0, ends - time.monotonic()))
        finally:
            with self._changed:
                for entry, future in zip(entries, futures, strict=True):
                    if not future.done():
                        self._queue.take(entry, served=False)
                        future.cancel()
        return [self._outcome(future) for future in futures]

    def _outcome(self, future: "asyncio.Future[Result]") -> Result | Exception:
        if future.cancelled() or not future.done():
            return OutOfTime(f"{self._name} had not come to this by the request's deadline; send the group again")
        error = future.exception()
        if error is None:
            return future.result()
        if not isinstance(error, Exception):
            raise error
        return error

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._died

    @property
    def waiting_cost(self) -> int:
        return self._queue.cost

    def last_worked(self) -> float | None:
        """`time.monotonic()` of the last batch in which something was done; None before it and once the thread died."""
        return self._last_worked if self.alive else None

    def state(self) -> QueueState:
        with self._changed:
            return self._done._replace(
                waiting=len(self._queue), waiting_cost=self._queue.cost, oldest_wait_s=self._queue.oldest_wait_s()
            )

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while batch := self._next_batch():
                self._work(batch)
        finally:
            with self._changed:
                left = list(self._queue.drain())
                self._closing = True
            for w in left:
                if w.future.set_running_or_notify_cancel():
                    w.future.set_exception(ScorerUnavailable(f"{self._name} stopped before this was scored"))

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        """Wait for work and take a batch; empty when closing and done."""
        with self._changed:
            while True:
                batch: list[_Waiting[Item, Result]] = []
                cost = 0
                while (entry := self._queue.peek()) is not None and (not batch or cost + entry.cost <= self._budget):
                    self._queue.take(entry)
                    if entry.item.future.set_running_or_notify_cancel():
                        batch.append(entry.item)
                        cost += entry.cost
                if batch or self._closing:
                    return batch
                self._changed.wait()

    def _work(self, batch: list[_Waiting[Item, Result]]) -> None:
        started = time.monotonic()
        try:
            with tracing.device_work(self._name, [w.trace for w in batch]):
                outcomes = self._outcomes([w.item for w in batch])
        except BaseException as fatal:
            # The thread ends here; the batch's waiters must not wait forever, nor find it alive.
            self._died = True
            for w in batch:
                w.future.set_exception(ScorerUnavailable(f"{self._name} died: {type(fatal).__name__}"))
            raise
        self._note(batch, outcomes, time.monotonic() - started)
        for w, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, _Raised):
                w.future.set_exception(outcome.error)
            else:
                w.future.set_result(outcome)

    def _note(
        self, batch: list[_Waiting[Item, Result]], outcomes: "Sequence[Result | _Raised]", seconds: float
    ) -> None:
        """Before the waiters hear of it; a device on which everything fails must not look alive for failing often."""
        cost = sum(w.cost for w in batch)
        with self._changed:
            self._done = self._done._replace(
                batches=self._done.batches + 1,
                batch_items=self._done.batch_items + len(batch),
                batch_cost=self._done.batch_cost + cost,
                busy_s=self._done.busy_s + seconds,
            )
            if not any(not isinstance(outcome, _Raised) and self._worked(outcome) for outcome in outcomes):
                return
            self._last_worked = time.monotonic()
            rate = cost / max(seconds, 1e-6)
            if self._rate is None or not len(self._queue):
                # A batch that emptied the queue says only that the device is at least this fast.
                self._rate = max(rate, self._rate or 0.0)
            else:
                self._rate = 0.8 * self._rate + 0.2 * rate

    def _outcomes(self, items: list[Item]) -> "Sequence[Result | _Raised]":
        try:
            return self._run_checked(items)
        except Exception as error:
            if len(items) == 1:
                return [_Raised(error)]
        # One bad item must not cost its neighbours their scores: each gets one try alone.
        return [outcome for item in items for outcome in self._outcomes([item])]

    def _run_checked(self, items: list[Item]) -> Sequence[Result]:
        with self._turn:
            results = self._run(items)
        if len(results) != len(items):
            raise RuntimeError(f"{self._name} returned {len(results)} results for {len(items)} items")
        return results

    def _seconds_of(self, cost: int) -> float:
        """How long `cost` takes at the measured rate; one second before anything was measured."""
        return 1.0 if self._rate is None else max(1.0, cost / self._rate)
