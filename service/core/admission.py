"""Who is let in: bounded waiting work a scorer, deadlines that can be kept, and a door that closes at the end.

Work is counted in candidates, per scorer, from the moment a request is let in until its group is answered. How fast a
scorer is, is measured while it is under load; a request that could be done before its deadline and not with what waits
is refused at once, so that what was let in is answered. Refusals say when to come again. One that is too large for its
deadline even alone is let in while its turn would come in time: it gets what is finished by then, and another try would
find it as large.

Not covered: what a body may look like (`rewright.service.http.request_body`), and tokens that wait in a scorer's own
queue (`rewright.service.core.batcher`), which have bounds of their own.
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from rewright.service.errors import Overloaded, ScorerUnavailable

SMALL = 64
"""A request below this part of the bound counts as small; the last tenth of the room is kept for such."""
WINDOW_S = 0.5
LEAST_S = 0.05
"""A deadline shorter than this is kept by nothing that is worth scoring."""
FRESH_S = 30.0
"""A measured rate older than this refuses nobody: things may have changed."""


class Load:
    """Candidates inside one scorer, and the rate at which it finishes them, measured in windows of half a second.

    A rate measured at low load says only that the scorer is at least that fast, so it never lowers an estimate, and an
    estimate counts only up to twice the load at which it was measured.
    """

    def __init__(self, bound: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.bound = bound
        self.inside = 0
        self.requests = 0
        self.rate: float | None = None
        self._clock = clock
        self._level = 0.0
        self._measured_at = 0.0
        self._window = self._touched = clock()
        self._area = 0.0
        self._done = 0

    def enter(self, candidates: int) -> None:
        self._sum_up()
        if not self.inside:
            self._begin_window()
        self.inside += candidates

    def leave(self, candidates: int, *, scored: bool) -> None:
        self._sum_up()
        self.inside -= candidates
        if scored:
            self._done += candidates
            if self._touched - self._window >= WINDOW_S:
                self._measure()

    def room_for(self, candidates: int) -> int:
        """Candidates that would be too many; at most 0 where there is room. An empty scorer takes anything."""
        if not self.inside:
            return 0
        bound = self.bound if candidates * SMALL <= self.bound else self.bound * 9 // 10
        return self.inside + candidates - bound

    def seconds_for(self, candidates: int) -> float | None:
        """How long that many new candidates would take under fair shares; None where nobody knows."""
        after = self.inside + candidates
        if self.rate is None or self._clock() - self._measured_at > FRESH_S or after > 2 * self._level:
            return None
        # Half of the work is done by age and half by fair shares, so twice the fair share is the most that is waited.
        return (min(self.inside, 2 * self.requests * candidates) + candidates) / self.rate

    def seconds_until(self, over: int) -> float:
        """Until `over` candidates are done; one second while nothing was measured."""
        return 1.0 if not self.rate else max(1.0, over / self.rate)

    def _sum_up(self) -> None:
        now = self._clock()
        self._area += self.inside * (now - self._touched)
        self._touched = now

    def _measure(self) -> None:
        seconds = self._touched - self._window
        rate, level = self._done / seconds, self._area / seconds
        if self.rate is None or level >= self._level / 2:
            self.rate = rate if self.rate is None else 0.7 * self.rate + 0.3 * rate
            self._level = max(level, 0.9 * self._level)
            self._measured_at = self._touched
        elif rate > self.rate:
            self.rate, self._measured_at = rate, self._touched
        self._begin_window()

    def _begin_window(self) -> None:
        self._window, self._area, self._done = self._touched, 0.0, 0


class Ticket:
    """One request's stay. A context manager: what was not reported as answered leaves at the end all the same."""

    def __init__(self, loads: list[Load], candidates: int) -> None:
        self._loads = loads
        self._left = candidates

    def answered(self, candidates: int) -> None:
        """So many candidates are through every scorer."""
        self._leave(min(candidates, self._left), scored=True)

    def __enter__(self) -> Self:
        for load in self._loads:
            load.enter(self._left)
            load.requests += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._leave(self._left, scored=kind is None)
        for load in self._loads:
            load.requests -= 1

    def _leave(self, candidates: int, *, scored: bool) -> None:
        self._left -= candidates
        for load in self._loads:
            load.leave(candidates, scored=scored)


class Admission:
    """bounds: candidates that may be inside each scorer. waiting_bytes: of bodies of all requests inside."""

    def __init__(self, bounds: Mapping[str, int], *, waiting_bytes: int) -> None:
        self.loads = {name: Load(bound) for name, bound in bounds.items()}
        self.closing = False
        self.bytes_inside = 0
        self._told_of_closing: list[Callable[[], None]] = []
        self._waiting_bytes = waiting_bytes

    def on_closing(self, told: Callable[[], None]) -> None:
        """Have it called, on the event loop, once the door is closed."""
        self._told_of_closing.append(told)

    def tell_of_closing(self) -> None:
        """Whoever closed the door calls it, on the event loop."""
        for told in self._told_of_closing:
            told()

    def check_open(self, names: Iterable[str], *, seconds: float) -> None:
        """Raise what a request would meet whatever it holds, before its body costs anything."""
        if seconds < LEAST_S:
            raise Overloaded(f"nothing is done in {seconds:g} s; allow at least {LEAST_S:g} s by X-Deadline-Ms")
        if self.closing:
            raise ScorerUnavailable("this process is shutting down; send the request again")
        for name in names:
            if (load := self.loads.get(name)) is not None and load.inside >= load.bound:
                raise _full(name, load, load.inside - load.bound + 1)

    def admit(self, names: Iterable[str], candidates: int, *, seconds: float) -> Ticket:
        """Let a request in that must be done in so many seconds.

        Raises `Overloaded`, and `ScorerUnavailable` while the process ends.
        """
        names = [name for name in names if name in self.loads]
        self.check_open(names, seconds=math.inf)
        for name in names:
            load = self.loads[name]
            if (over := load.room_for(candidates)) > 0:
                raise _full(name, load, over)
            needed = load.seconds_for(candidates)
            if needed is None or needed <= seconds:
                continue
            alone = candidates / load.rate if load.rate else 0.0
            if alone > seconds > needed - alone:
                continue
            raise Overloaded(
                f"{name} would need about {needed:.0f} s with what waits, more than the {seconds:g} s allowed",
                retry_after=max(1.0, needed - seconds),
            )
        return Ticket([self.loads[name] for name in names], candidates)

    def hold(self, size: int, *, own: int) -> None:
        """Count bytes of a body of which `own` are here already. Raises `Overloaded`; a body alone always fits."""
        if self.bytes_inside > own and self.bytes_inside + size > self._waiting_bytes:
            raise Overloaded(
                f"bodies of {self.bytes_inside >> 20} MiB are waiting, the most that limits.waiting_mb allows",
                retry_after=1.0,
            )
        self.bytes_inside += size

    def release(self, size: int) -> None:
        self.bytes_inside -= size


def _full(name: str, load: Load, over: int) -> Overloaded:
    return Overloaded(
        f"{name} has {load.inside} of {load.bound} candidates waiting (scorers.{name}.waiting)",
        retry_after=load.seconds_until(min(over, load.inside)),
    )
