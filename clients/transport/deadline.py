"""How long a call may still take: an overall deadline, a patience that every settled group renews, or both."""

import math
import time


class Deadline:
    """Starts at construction. None means without limit.

    deadline_s: seconds for the whole call; patience_s: longest time without progress.
    """

    def __init__(self, *, deadline_s: float | None, patience_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._ends = math.inf if deadline_s is None else time.monotonic() + deadline_s
        self._patience_s = math.inf if patience_s is None else patience_s
        self._progress = time.monotonic()

    def left(self) -> float:
        """Seconds left; may be negative."""
        return min(self._ends, self._progress + self._patience_s) - time.monotonic()

    def progress(self) -> None:
        """A group was settled: the patience starts again."""
        self._progress = time.monotonic()

    def named(self) -> str:
        """The setting that ends first, such as `deadline_s = 20 s`."""
        if self._deadline_s is not None and self._ends <= self._progress + self._patience_s:
            return f"deadline_s = {self._deadline_s:g} s"
        return f"patience_s = {self._patience_s:g} s"
