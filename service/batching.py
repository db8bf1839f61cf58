"""A bounded queue that turns whatever waits into budgeted batches on one thread.

There is no timer: what arrived while the device was busy is the next batch. A full queue refuses at once
(`Overloaded`), callers who left are skipped, a batch that raises is tried again item by item once, and if the thread
itself dies every waiter fails and `alive` turns false. The order inside a batch is the order of arrival.

Knows nothing about scoring: an item is anything with a cost, a result whatever `run` returns for it.
Not covered: priorities and fair shares between callers.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import Overloaded, ScorerUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    cost: int
    future: "Future[Result]"


@dataclass(frozen=True, slots=True)
class _Raised:
    error: Exception


class Batcher(Generic[Item, Result]):
    """Runs `run(items) -> results` (same length, same order) on one thread of its own.

    budget: the largest summed cost of one batch (an item dearer than that runs alone).
    capacity: the largest summed cost that may wait.
    turn: held while `run` works, so that several batchers on one device take turns instead of fighting for it.
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
    ) -> None:
        self._name = name
        self._run = run
        self._cost = cost
        self._budget = budget
        self._capacity = capacity
        self._turn = turn if turn is not None else nullcontext()
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._waiting_cost = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._last_worked: float | None = None
        self._rate: float | None = None

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
        """One result an item in order; an item that raised even alone has its exception in its place.

        Raises `Overloaded` (nothing was queued) when the items do not fit into the queue, and `ScorerUnavailable` when
        the thread is gone. Cancelling the call drops what has not started.
        """
        waiting = [_Waiting(item, self._cost(item), Future[Result]()) for item in items]
        total = sum(w.cost for w in waiting)
        with self._changed:
            if self._closing or not self.alive:
                raise ScorerUnavailable(f"{self._name} is not running")
            # An empty queue takes anything, else work larger than the whole queue could never be done.
            if self._waiting_cost and self._waiting_cost + total > self._capacity:
                raise Overloaded(
                    f"{self._name} has no room: {self._waiting_cost} of {self._capacity} in use, {total} asked for",
                    retry_after=self._seconds_of(self._waiting_cost),
                )
            self._queue.extend(waiting)
            self._waiting_cost += total
            self._changed.notify_all()
        try:
            return await asyncio.gather(*(asyncio.wrap_future(w.future) for w in waiting), return_exceptions=True)  # type: ignore[return-value]
        finally:
            for w in waiting:
                w.future.cancel()

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting_cost(self) -> int:
        return self._waiting_cost

    def last_worked(self) -> float | None:
        return self._last_worked

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while batch := self._next_batch():
                self._work(batch)
        finally:
            with self._changed:
                left, self._queue = list(self._queue), deque()
                self._waiting_cost = 0
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
                while self._queue and (not batch or cost + self._queue[0].cost <= self._budget):
                    w = self._queue.popleft()
                    self._waiting_cost -= w.cost
                    if w.future.set_running_or_notify_cancel():
                        batch.append(w)
                        cost += w.cost
                if batch or self._closing:
                    return batch
                self._changed.wait()

    def _work(self, batch: list[_Waiting[Item, Result]]) -> None:
        started = time.monotonic()
        try:
            outcomes = self._outcomes([w.item for w in batch])
        except BaseException as fatal:
            # The thread ends here; the batch's waiters must not wait for ever.
            for w in batch:
                w.future.set_exception(ScorerUnavailable(f"{self._name} died: {type(fatal).__name__}"))
            raise
        # Before the waiters hear of it, and only where something was done: a device on which everything fails must
        # not look alive because it fails often.
        if not all(isinstance(outcome, _Raised) for outcome in outcomes):
            self._last_worked = time.monotonic()
            rate = sum(w.cost for w in batch) / max(self._last_worked - started, 1e-6)
            self._rate = rate if self._rate is None else 0.8 * self._rate + 0.2 * rate
        for w, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, _Raised):
                w.future.set_exception(outcome.error)
            else:
                w.future.set_result(outcome)

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
