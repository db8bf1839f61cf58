"""A progress bar on standard error: one line rewritten on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

WIDTH = 30
REDRAW_S = 0.1
PLAIN_LINE_S = 10.0


class ProgressBar:
    """total: how many there are, or None where that is not known; done: how many were finished before."""

    def __init__(self, total: int | None, *, unit: str, done: int = 0) -> None:
        self._total = total
        self._unit = unit
        self._done = self._done_before = done
        self._started = time.monotonic()
        self._drawn = 0.0
        self._terminal = sys.stderr.isatty()
        self._note = ""

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(last=True)

    def advance(self, by: int, *, note: str = "") -> None:
        """note: shown behind the numbers until the next one."""
        self._done += by
        self._note = f", {note}" if note else self._note
        if time.monotonic() - self._drawn >= (REDRAW_S if self._terminal else PLAIN_LINE_S):
            self._draw()

    def _draw(self, *, last: bool = False) -> None:
        self._drawn = time.monotonic()
        seconds = self._drawn - self._started
        speed = (self._done - self._done_before) / seconds if seconds > 0 else 0.0
        shown = f"{self._done} {self._unit}, {speed:.1f}/s"
        if self._total:
            share = min(1.0, self._done / self._total)
            filled = int(share * WIDTH)
            left = f", {(self._total - self._done) / speed:.0f} s left" if speed and not last else ""
            shown = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {share:4.0%} {self._done} of {self._total} {self._unit}"
            shown += f", {speed:.1f}/s{left}"
        shown += self._note
        if self._terminal:
            print(f"\r\033[K{shown}", end="\n" if last else "", file=sys.stderr, flush=True)
        elif seconds > 1 or last:
            print(shown, file=sys.stderr, flush=True)
