"""Worker processes kept ready, so that one that was killed is replaced at once and its burial waits for nobody.

Promises
- `take` hands out a child that has started, imported and rehearsed, and still lives: those that were killed meanwhile,
  by the kernel short of memory, say, are buried. Whoever takes one gives it back or has it buried.
- The child given back last is handed out first: its caches are warm, and the others stay small.
- One thread starts and buries children, so that neither ever happens on the way of an item.

Not covered: what children work on, and how many are in use; `rewright.service.core.workers.pool` decides that. Linux
only.
"""

import threading
import time
from collections.abc import Callable

from rewright.service.core.workers.process import WorkerProcess

SPARE = 2
"""Children that wait beside those in use: kills come seldom, and starting one takes some 20 ms."""
_PAUSE_S = 0.1


class WorkerReserve:
    """start_child: a new child, or OSError or EOFError where there is no process to be had. most: children that may
    wait at once; what is given back past it is ended."""

    def __init__(self, start_child: Callable[[], WorkerProcess], *, most: int) -> None:
        self._start_child = start_child
        self._most = most
        self._changed = threading.Condition()
        self._ready: list[WorkerProcess] = []
        self._dead: list[WorkerProcess] = []
        self._children: set[WorkerProcess] = set()
        self._failed_starts = 0
        self._closing = False
        self._thread = threading.Thread(target=self._tend, name="pool-reserve", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End every child, those in use too. Blocks; may be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def pids(self) -> list[int]:
        with self._changed:
            return [child.pid for child in self._children]

    def take(self) -> WorkerProcess | None:
        """A child that is ready, waiting for one if need be; None where none could be started meanwhile."""
        with self._changed:
            failed_before = self._failed_starts
            while True:
                while self._ready:
                    child = self._ready.pop()
                    self._changed.notify_all()
                    if child.alive:
                        return child
                    self._dead.append(child)
                if self._closing or self._failed_starts > failed_before or not self.alive:
                    return None
                self._changed.wait()

    def give_back(self, child: WorkerProcess) -> None:
        """Keep a usable child for the next, bury any other."""
        with self._changed:
            keep = child.usable and child.alive and not self._closing and len(self._ready) < self._most
            (self._ready if keep else self._dead).append(child)
            self._changed.notify_all()

    def _tend(self) -> None:
        try:
            while True:
                with self._changed:
                    while not (self._closing or self._dead or len(self._ready) < SPARE):
                        self._changed.wait()
                    if self._closing:
                        return
                    dead, self._dead = self._dead, []
                    short = len(self._ready) < SPARE
                # The living come first: items may be waiting for them, nobody waits for the dead.
                if short:
                    self._add_one()
                self._bury(dead)
        finally:
            with self._changed:
                self._closing = True
                left = list(self._children)
                self._changed.notify_all()
            self._bury(left)

    def _add_one(self) -> None:
        try:
            child = self._start_child()
        except (OSError, EOFError):
            with self._changed:
                self._failed_starts += 1
                self._changed.notify_all()
            # No process or descriptor left; a pause keeps the thread from spinning.
            time.sleep(_PAUSE_S)
            return
        with self._changed:
            self._children.add(child)
            self._ready.append(child)
            self._changed.notify_all()

    def _bury(self, dead: list[WorkerProcess]) -> None:
        for child in dead:
            child.kill()
        with self._changed:
            self._children.difference_update(dead)
