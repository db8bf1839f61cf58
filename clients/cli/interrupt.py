"""Ctrl-C during asynchronous work: the first ends it in order, the second ends the process at once.

Without this a second one is raised wherever Python stands, with a traceback, or in a callback of the event loop, whose
task then waits forever. Not covered: SIGTERM, which keeps its default and ends the process.
"""

import asyncio
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_interruptible(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work` on an event loop of its own.

    Raises `KeyboardInterrupt` after a Ctrl-C, when `work` was cancelled and has ended. Where signals cannot be taken
    (another thread, Windows) or are somebody else's (ignored in a shell's background), this is `asyncio.run`.
    """
    ours = threading.current_thread() is threading.main_thread() and sys.platform != "win32"
    if not (ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        return asyncio.run(work)
    try:
        return asyncio.run(_until_interrupt(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _until_interrupt(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        working.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await working
    finally:
        if not interrupted:
            loop.remove_signal_handler(signal.SIGINT)
