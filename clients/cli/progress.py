"""A progress bar on standard error: tqdm's on a terminal, a plain line now and then elsewhere."""

import io
import sys
from types import TracebackType
from typing import Never, Self

from tqdm import tqdm

REDRAW_S = 0.1
PLAIN_LINE_S = 10.0
KNOWN_TOTAL = "{l_bar}{bar}| {n_fmt} of {total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
UNKNOWN_TOTAL = "{n_fmt}{unit} [{elapsed}, {rate_noinv_fmt}{postfix}]"
"""As tqdm has it, but with the rate per second even where it is below one."""


class ProgressBar:
    """Shown from entering the context to leaving it, an interrupt included; then it stays as a line of its own.

    total: how many there are, or None where that is not known; unit: what is counted, in the plural; done: how many
    were finished before, which count for the share and not for the speed.
    """

    def __init__(self, total: int | None, *, unit: str, done: int = 0) -> None:
        self._total = total
        self._unit = unit
        self._done = done

    def __enter__(self) -> Self:
        terminal = sys.stderr.isatty()
        self._bar: tqdm[Never] = tqdm(
            total=self._total,
            initial=self._done,
            unit=f" {self._unit}",
            file=None if terminal else _PlainLines(),
            dynamic_ncols=terminal,
            mininterval=REDRAW_S if terminal else PLAIN_LINE_S,
            maxinterval=PLAIN_LINE_S,
            miniters=1,
            bar_format=UNKNOWN_TOTAL if self._total is None else KNOWN_TOTAL,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def advance(self, by: int, *, note: str = "") -> None:
        """So many more are done. note: shown behind the numbers until the next one."""
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(by)


class _PlainLines(io.TextIOBase):
    """Each redrawing as a line of its own, for logs."""

    def write(self, text: str) -> int:
        if shown := text.strip():
            print(shown, file=sys.stderr, flush=True)
        return len(text)
