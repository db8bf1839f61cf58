"""The progress bar on a terminal, in a log, and when it is interrupted."""

import errno
import os
import pty
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewright.clients.cli.progress import ProgressBar

ROOT = Path(__file__).resolve().parents[3]
INTERRUPTED = textwrap.dedent("""
    import sys, threading, time
    from rewright.clients.cli.progress import REDRAW_S, ProgressBar
    try:
        with ProgressBar(30, unit="rows") as bar:
            bar.advance(2)
            time.sleep(REDRAW_S)  # drawn again only then
            bar.advance(1, note="yield 50%")
            threading.Event().wait(60)
    except KeyboardInterrupt:
        print("rewright: stopped", file=sys.stderr)
""")


@contextmanager
def on_a_terminal(code: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """The process, and the other end of the terminal that its standard error is."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    # A suite that a shell put into the background ignores SIGINT, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, cwd=ROOT)
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read(terminal: int, until: bytes = b"\0 never written") -> str:
    """What is written up to and with `until`, or up to the end."""
    shown = b""
    while until not in shown:
        try:
            some = os.read(terminal, 4096)
        except OSError as error:  # Linux says that the other end is closed
            assert error.errno == errno.EIO
            break
        if not some:
            break
        shown += some
    return shown.decode()


def test_an_interrupt_leaves_the_bar_as_a_line_of_its_own() -> None:
    with on_a_terminal(INTERRUPTED) as (process, terminal):
        shown = read(terminal, until=b"yield 50%")
        process.send_signal(signal.SIGINT)
        shown += read(terminal)
        assert process.wait(30) == 0
    *_, bar, message, rest = shown.split("\r\n")
    assert "3 of 30 rows" in bar.rpartition("\r")[2] and message == "rewright: stopped" and rest == ""


def test_a_log_gets_whole_lines_and_few(capfd: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(1000, unit="rows", done=10) as bar:
        for _ in range(990):
            bar.advance(1, note="yield 50%")
    with ProgressBar(None, unit="requests") as bar:
        bar.advance(7)
    shown = capfd.readouterr()
    assert shown.out == "" and "\r" not in shown.err and len(shown.err.splitlines()) <= 6
    lines = [line for line in shown.err.splitlines() if line.strip()]
    assert any("1000 of 1000 rows" in line and "yield 50%" in line for line in lines)
    assert lines[-1].startswith("7 requests")
