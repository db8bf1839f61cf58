"""One HTTP exchange, tried again until it is answered, refused, or out of time.

Tried again are 429 (not before its Retry-After), 503 and 504 unless their body says not to, and lost connections;
nothing else. Every try tells the service what time is left (X-Deadline-Ms), so that it drops work nobody waits for.
"""

import asyncio
import math
import random
import time

import httpx

from rewright.clients.transport.deadline import Deadline
from rewright.clients.transport.errors import error_of, may_try_again
from rewright.clients.transport.replicas import Replica, Replicas
from rewright.service.backoff import retry_after_s
from rewright.service.errors import DeadlineExceeded, RewrightError, ScorerUnavailable


class TookTooLong(Exception):
    """One try ran into its own time limit; less work in one request may fit."""


class RetryingTransport:
    """The exchanges of one call, over the connections of `pool` and on its loop.

    deadline: shared with whoever else works at the call; request_s: longest wait for one try.
    """

    def __init__(self, replicas: Replicas, pool: httpx.AsyncClient, *, deadline: Deadline, request_s: float) -> None:
        self._replicas = replicas
        self._pool = pool
        self._deadline = deadline
        self._request_s = request_s
        self._trouble: RewrightError | None = None

    async def ask(self, method: str, path: str, content: bytes | None = None, *, may_cut: bool = False) -> bytes:
        """The body of a 200.

        Raises `DeadlineExceeded` when the deadline has passed, naming the last trouble; any other error of the tree for
        an answer that is final; `TookTooLong` where `may_cut` and one try exceeded its own limit.
        """
        while True:
            replica = await self._awake()
            began = time.monotonic()
            try:
                answer = await self._try(replica, method, path, content)
            except RewrightError as trouble:
                self._trouble = trouble
                replica.troubled(began=began)
            else:
                if answer.status_code == httpx.codes.OK:
                    replica.answered()
                    return answer.content
                self._trouble = error_of(answer, replica.url)
                if not may_try_again(answer):
                    raise self._trouble
                replica.troubled(began=began, asked_s=retry_after_s(answer.headers.get("retry-after")))
            if may_cut and isinstance(self._trouble, DeadlineExceeded):
                raise TookTooLong

    async def _awake(self) -> Replica:
        while (replica := self._replicas.next()) is None:
            pause = self._replicas.rest_left() + random.uniform(0, 0.05)
            if pause >= self._deadline.left():
                raise self._out_of_time()
            await asyncio.sleep(pause)
        if self._deadline.left() <= 0:
            raise self._out_of_time()
        return replica

    async def _try(self, replica: Replica, method: str, path: str, content: bytes | None) -> httpx.Response:
        seconds = min(self._request_s, self._deadline.left())
        headers = {"X-Deadline-Ms": str(max(1, math.ceil(seconds * 1000)))}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            with replica.asked():
                async with asyncio.timeout(seconds):
                    return await self._pool.request(method, replica.url + path, content=content, headers=headers)
        except TimeoutError:
            raise DeadlineExceeded(f"{replica.url}: no answer within {seconds:.3g} s") from None
        except httpx.TransportError as lost:
            reason = str(lost) or "connection lost"
            raise ScorerUnavailable(f"{replica.url}: {type(lost).__name__}: {reason}") from lost
        except httpx.HTTPError as broken:
            raise ScorerUnavailable(f"{replica.url}: unreadable answer: {type(broken).__name__}") from broken

    def _out_of_time(self) -> DeadlineExceeded:
        last = f"; last: {self._trouble.message}" if self._trouble else ""
        detail = {"last": self._trouble.code} if self._trouble else None
        return DeadlineExceeded(f"the service did not answer in the time given{last}", detail=detail)
