"""The end of the process: SIGTERM or SIGINT, and what was let in is still answered.

1. The door closes: readiness turns red and new scoring requests get a 503 that says to send them again.
2. After `leave_s`, by which time load balancers should have noticed, the port closes.
3. What was let in is finished; admission took nothing that does not fit into the grace period.
4. The scorers are closed and the process exits with status 0.

A second signal ends the process at once, whatever waits: with status 0 where nothing was left inside, else with 128 and
the signal's number. Before the scorers are open the first one does (`rewright.service.__main__`).
"""

import asyncio
import logging
import os
import signal
from types import FrameType

import uvicorn

from rewright.service.core.admission import Admission

log = logging.getLogger(__name__)


class GracefulServer(uvicorn.Server):
    """A server that closes its door before its port. Must be made and served on the event loop's own thread."""

    def __init__(self, config: uvicorn.Config, admission: Admission, *, leave_s: float) -> None:
        super().__init__(config)
        self._admission = admission
        self._leave_s = leave_s
        self._loop = asyncio.get_running_loop()

    async def run_until_signal(self) -> None:
        """Serve until a signal was answered."""
        # The server sets handlers of its own and at its end raises the signal again for whoever had it before; that
        # must not be the default, which would kill the process before its scorers are closed.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _ignored)
        await self.serve()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._admission.closing:
            # What is still waited for (a batch on a device, a thread, a pod) may take for ever: nothing is closed, and
            # worker processes end with the pipe that they read from.
            os._exit(128 + sig if self._inside() else 0)
        self._admission.closing = True
        self._loop.call_soon_threadsafe(self._announce, sig)

    def _announce(self, number: int) -> None:
        log.info("%s: finishing %d candidates, taking no more", signal.Signals(number).name, self._inside())
        self._admission.tell_of_closing()
        self._loop.call_later(self._leave_s, self._close)

    def _inside(self) -> int:
        return max((load.inside for load in self._admission.loads.values()), default=0)

    def _close(self) -> None:
        self.should_exit = True


def _ignored(number: int, frame: FrameType | None) -> None:
    """Takes a signal that has been answered already."""
