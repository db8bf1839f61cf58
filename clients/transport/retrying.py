"""One HTTP exchange, tried again until it is answered, refused, or out of time.

Tried again are lost connections and whatever may pass (`rewright.clients.transport.errors`), not before its
Retry-After; a final 500 and an answer that cannot be read `FEW_TRIES` times, at another address where there is one.
What may be one address's own refusal (a key that it does not know, a route that it lacks, a scorer that is off there)
is final once no other address may say otherwise.
Every try tells the service what time is left (X-Deadline-Ms), so that it drops work nobody waits for.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Collection
from typing import TypeVar

import httpx

from rewright.clients.transport.deadline import Deadline
from rewright.clients.transport.errors import Chance, chance_of, error_of
from rewright.clients.transport.replicas import Replica, Replicas
from rewright.service.backoff import retry_after_s
from rewright.service.errors import DeadlineExceeded, InternalError, RewrightError, ScorerUnavailable

FEW_TRIES = 3
T = TypeVar("T")


class TookTooLong(Exception):
    """One try ran into its own time limit; less work in one request may fit."""


class _NotServed(Exception):
    """One try without a result. asked_s: from its Retry-After, else 0."""

    def __init__(self, trouble: RewrightError, chance: Chance, *, asked_s: float = 0.0) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble
        self.chance = chance
        self.asked_s = asked_s


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

    async def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        read: Callable[[bytes], T],
        may_cut: bool = False,
    ) -> T:
        """What `read` makes of the body of a 200; it raises `InternalError` for one that cannot be used.

        Raises `DeadlineExceeded` when the deadline has passed, naming the last trouble; any other error of the tree for
        an answer that is final; `TookTooLong` where `may_cut` and one try exceeded its own limit.
        """
        few = 0
        refusals: dict[Replica, RewrightError] = {}
        while True:
            replica = await self._awake(but=refusals)
            began = time.monotonic()
            try:
                found = _found(await self._try(replica, method, path, content), replica.url, read)
            except _NotServed as refusal:
                self._trouble = refusal.trouble
                few += refusal.chance is Chance.FEW_TRIES
                if refusal.chance is Chance.FINAL or few == FEW_TRIES:
                    raise refusal.trouble from None
                if refusal.chance is Chance.ELSEWHERE:
                    refusals[replica] = refusal.trouble
                else:
                    replica.troubled(began=began, asked_s=refusal.asked_s)
                if refusals and not self._replicas.may_answer(but=refusals):
                    raise next(iter(refusals.values())) from None
            else:
                replica.answered()
                for other, trouble in refusals.items():
                    other.refused(trouble, began=began)
                return found
            if may_cut and isinstance(self._trouble, DeadlineExceeded):
                raise TookTooLong

    async def _awake(self, *, but: Collection[Replica]) -> Replica:
        while (replica := self._replicas.next(but=but)) is None:
            pause = self._replicas.rest_left(but=but) + random.uniform(0, 0.05)
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
            trouble: RewrightError = DeadlineExceeded(
                f"{replica.url}: no answer within {seconds:.3g} s, {self._limit(seconds)}; the service was told so by "
                f"X-Deadline-Ms"
            )
        except httpx.TransportError as lost:
            reason = str(lost) or "connection lost"
            trouble = ScorerUnavailable(f"{replica.url}: {type(lost).__name__}: {reason}")
        except httpx.HTTPError as broken:
            trouble = ScorerUnavailable(f"{replica.url}: unreadable answer: {type(broken).__name__}")
        raise _NotServed(trouble, Chance.PASSES)

    def _limit(self, seconds: float) -> str:
        """The setting that gave one try so many seconds, and what to change."""
        if seconds >= self._request_s:
            return f"the client's request_s = {self._request_s:g} s (raise it, or send less per request)"
        return f"what {self._deadline.named()} had left"

    def _out_of_time(self) -> DeadlineExceeded:
        last = f"; last: {self._trouble.message}" if self._trouble else ""
        detail = {"last": self._trouble.code} if self._trouble else None
        return DeadlineExceeded(
            f"the service did not answer within the client's {self._deadline.named()} (raise it, or send fewer groups "
            f"per call){last}",
            detail=detail,
        )


def _found(answer: httpx.Response, url: str, read: Callable[[bytes], T]) -> T:
    if answer.status_code != httpx.codes.OK:
        asked_s = retry_after_s(answer.headers.get("retry-after"))
        raise _NotServed(error_of(answer, url), chance_of(answer), asked_s=asked_s)
    try:
        return read(answer.content)
    except InternalError as unreadable:
        raise _NotServed(InternalError(f"{url}: {unreadable.message}"), Chance.FEW_TRIES) from None
