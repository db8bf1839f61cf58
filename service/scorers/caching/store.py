"""Scores that all pods remember, in Redis.

Values are bytes under keys that say everything a score depends on. A store that does not answer is a miss and a
count, never an error: after a failure it is left alone for a while. What is remembered, and the table of this process
before it, is up to the caller (`rewright.service.scorers.caching.scorer`).
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.service.errors import SettingsError

log = logging.getLogger(__name__)

CALL_S = 0.2
REST_S = 5.0
KEPT_S = 7 * 24 * 3600


class SharedStore:
    """Redis. Raises `SettingsError` when the extra is not installed or the URL is none."""

    def __init__(self, url: str) -> None:
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise SettingsError("cache.redis_url needs redis; install rewright[redis] or unset it") from None
        try:
            self._redis: Any = Redis.from_url(
                url, socket_timeout=CALL_S, socket_connect_timeout=CALL_S, max_connections=16
            )
        except ValueError as error:
            raise SettingsError(f"cache.redis_url: {error}") from None
        self._rests_until = 0.0
        self.errors = 0

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """A value a key; None where it is unknown or the store does not answer."""
        found = await self._call(lambda: self._redis.mget(keys)) if keys else None
        return found if found is not None else [None] * len(keys)

    async def put(self, values: Mapping[bytes, bytes]) -> None:
        if not values:
            return

        def write() -> Any:
            pipeline = self._redis.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, ex=KEPT_S)
            return pipeline.execute()

        await self._call(write)

    async def close(self) -> None:
        await self._redis.aclose()

    async def _call(self, call: Any) -> Any:
        if time.monotonic() < self._rests_until:
            return None
        from redis.exceptions import RedisError

        try:
            async with asyncio.timeout(2 * CALL_S):
                return await call()
        except (RedisError, OSError, TimeoutError) as error:
            self.errors += 1
            self._rests_until = time.monotonic() + REST_S
            log.warning("the shared cache does not answer (%s); left alone for %.0f s", type(error).__name__, REST_S)
            return None
