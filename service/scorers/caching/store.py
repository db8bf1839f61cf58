"""What all pods remember, in Redis: scores, and what gateways settled.

Values are bytes under keys that say everything a score depends on. A store that does not answer, or answers anything
else than it was given for that key, is a miss and a count, never an error: after a failure it is left alone for a
while. What is asked at the same time is asked together, so that any number of groups needs two connections. What is
remembered, and the table of this process before it, is up to the caller (`rewright.service.scorers.caching.scorer`).
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from rewright.service.backoff import Backoff
from rewright.service.errors import SettingsError

log = logging.getLogger(__name__)
Asked = TypeVar("Asked")
Told = TypeVar("Told")

CALL_S = 2.0
"""Longest wait for one call; less would be a failure whenever this process itself is busy for so long."""
REST = Backoff(first_s=1.0, longest_s=20.0)
"""How long it is left alone after failures in a row."""
KEPT_S = 7 * 24 * 3600
TOGETHER = 64
"""Most askers, each with the texts of a group, that one call is made for."""
_SEAL = 8


class SharedStore:
    """Redis. Raises `SettingsError` when the extra is not installed or the URL is none."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise SettingsError("cache.redis_url needs redis; install rewright[redis] or unset it") from None
        try:
            self._redis: Any = Redis.from_url(url, socket_timeout=CALL_S, socket_connect_timeout=CALL_S)
        except ValueError as error:
            raise SettingsError(f"cache.redis_url: {error}") from None
        self._read = _Together(self._get_all)
        self._write = _Together(self._put_all)
        self._rests_until = 0.0
        self._failures = 0
        self.errors = 0

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """A value a key; None where it is unknown, spoilt, or the store does not answer."""
        return await self._read(keys) if keys and not self._resting() else [None] * len(keys)

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        if values and not self._resting():
            await self._write(values)

    async def put_new(self, values: Mapping[bytes, bytes], *, kept_s: float) -> bool | None:
        """Keep all of them, or none: True where no key was known, False where one was. None without an answer.

        Raises nothing. Whoever is first at a key wins, so that processes which share the store agree.
        """

        def write() -> Any:
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.msetnx({key: _sealed(key, value) for key, value in values.items()})
            # Where a key was known this lets it live longer, which does no harm.
            for key in values:
                pipeline.pexpire(key, max(1, int(kept_s * 1000)))
            return pipeline.execute()

        told = await self._call(write)
        return bool(told[0]) if isinstance(told, list) and told else None

    async def close(self) -> None:
        await self._read.close()
        await self._write.close()
        await self._redis.aclose()

    async def _get_all(self, askers: Sequence[Sequence[bytes]]) -> list[list[bytes | None]]:
        keys = list(dict.fromkeys(chain.from_iterable(askers)))
        found = await self._call(lambda: self._redis.mget(keys))
        if not isinstance(found, list) or len(found) != len(keys):
            found = [None] * len(keys)
        known = {key: _opened(key, value) for key, value in zip(keys, found, strict=True)}
        self.errors += sum(value is not None and known[key] is None for key, value in zip(keys, found, strict=True))
        return [[known[key] for key in asked] for asked in askers]

    async def _put_all(self, askers: Sequence[Mapping[bytes, bytes]]) -> list[None]:
        def write() -> Any:
            pipeline = self._redis.pipeline(transaction=False)
            for values in askers:
                for key, value in values.items():
                    pipeline.set(key, _sealed(key, value), ex=KEPT_S)
            return pipeline.execute()

        await self._call(write)
        return [None] * len(askers)

    def _resting(self) -> bool:
        return time.monotonic() < self._rests_until

    async def _call(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """What the store says; None where it does not, or where it is left alone meanwhile."""
        if self._resting():
            return None
        try:
            async with asyncio.timeout(CALL_S):
                answer = await call()
        except Exception as error:  # whatever a store may do, the scores can be computed
            self.errors += 1
            self._failures += 1
            rest_s = REST.pause(self._failures)
            self._rests_until = time.monotonic() + rest_s
            log.warning("the shared cache does not answer (%s); left alone for %.1f s", type(error).__name__, rest_s)
            return None
        self._failures = 0
        return answer


class _Together(Generic[Asked, Told]):
    """Calls that come while one is under way are made as one when it ends.

    run: one result per asker, in order; it does not raise.
    """

    def __init__(self, run: Callable[[Sequence[Asked]], Awaitable[Sequence[Told]]]) -> None:
        self._run = run
        self._waiting: list[tuple[Asked, asyncio.Future[Told]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, asked: Asked) -> Told:
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            now, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            asking = [(asked, future) for asked, future in now if not future.done()]
            told = await self._run([asked for asked, _ in asking])
            for (_, future), one in zip(asking, told, strict=True):
                if not future.done():
                    future.set_result(one)

    async def close(self) -> None:
        """Let what is under way end; it is bounded."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


def _seal(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, key=key[-64:], digest_size=_SEAL).digest()


def _sealed(key: bytes, value: bytes) -> bytes:
    """The value with a mark of its key, so that one under another key, or a spoilt one, is told from it."""
    return _seal(key, value) + value


def _opened(key: bytes, value: Any) -> bytes | None:
    if not isinstance(value, bytes):
        return None
    mark, content = value[:_SEAL], value[_SEAL:]
    return content if mark == _seal(key, content) else None
