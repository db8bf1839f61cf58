"""A semaphore for callers of unlike size: whoever waits gets a fair share (`rewright.service.core.fair_queue`).

For one event loop. Callers are told apart by request id.
"""

import asyncio
from types import TracebackType

from rewright.service.core.fair_queue import FairQueue
from rewright.service.core.request_context import request_id


class FairSemaphore:
    """`async with slots:` holds one of `count`."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue(head_start=count)

    async def acquire(self) -> None:
        if self._free and not len(self._waiting):
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        entry = self._waiting.push(request_id.get(), turn, 1)
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting.take(entry, served=False)
            if turn.done() and not turn.cancelled():
                self.release()  # it was this one's turn already
            raise

    def release(self) -> None:
        while (entry := self._waiting.peek()) is not None:
            self._waiting.take(entry)
            if not entry.item.done():  # else its task was cancelled and has not run yet
                entry.item.set_result(None)
                return
        self._free += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.release()
