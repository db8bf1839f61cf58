"""A value in the shared cache that is bad, older, or another text's is a miss: computed again, and put right."""

import asyncio
import json

import pytest

from rewright.service.schema import Group, NllScored
from rewright.service.scorers.caching import scorer as caching
from rewright.service.scorers.caching.scorer import CachedScorer
from rewright.service.scorers.caching.store import SharedStore
from rewright.service.scorers.nll.spec import SPEC as NLL
from tests.plain_scorers import PlainNll
from tests.trouble.redis_process import redis_server

GROUP = Group(id="g", problem="p", candidates=["nll=1", "nll=2", "nll=3"])


class Opened:
    """A pod's cache before its NLL, over that store."""

    def __init__(self, url, inner=None):
        self.inner = inner or PlainNll()
        self.store = SharedStore(url)
        self.nll = CachedScorer(self.inner, NLL, entries=100, shared=self.store)

    async def __aenter__(self):
        await self.nll.open()
        return self

    async def __aexit__(self, *_):
        await self.nll.close()

    async def score(self):
        (found,) = await self.nll.score([GROUP])
        return [c.nll for c in found.candidates]


@pytest.fixture(scope="module")
def redis():
    with redis_server() as server:
        yield server


async def values_of(url):
    from redis.asyncio import Redis

    client = Redis.from_url(url)
    keys = sorted([key async for key in client.scan_iter()])
    return client, dict(zip(keys, await client.mget(keys), strict=True)) if keys else {}


BAD = {
    "garbage": lambda key, values: b"\xff\x00 no score",
    "empty": lambda key, values: b"",
    "a bare item": lambda key, values: b'{"status":"scored","nll":1.0,"n_tokens":2}',
    "another text's": lambda key, values: values[next(k for k in values if k != key)],
    "cut off": lambda key, values: values[key][:-3],
    "one bit turned": lambda key, values: values[key][:-9] + bytes([values[key][-9] ^ 1]) + values[key][-8:],
}


@pytest.mark.parametrize("kind", BAD)
def test_it_is_computed_again_and_put_right(redis, kind):
    async def scenario():
        client, _ = await values_of(redis.url)
        await client.flushall()
        async with Opened(redis.url) as first:
            assert await first.score() == [1.0, 2.0, 3.0]
        _, values = await values_of(redis.url)
        assert len(values) == 3
        for key in values:
            await client.set(key, BAD[kind](key, values))
        async with Opened(redis.url) as second:
            for _ in range(2):
                assert await second.score() == [1.0, 2.0, 3.0]
            assert second.inner.asked == GROUP.candidates, "asked once; its own table has what it computed"
            assert second.nll.cache_state().errors == 3
        async with Opened(redis.url) as third:
            assert await third.score() == [1.0, 2.0, 3.0]
            assert not third.inner.asked and third.nll.cache_state().errors == 0
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "item", [{"nll": 1e200, "n_tokens": 2}, {"nll": None, "n_tokens": 2}, {"nll": 1.0}, {"score": 1.0}, [1.0], "text"]
)
def test_an_item_of_another_shape_is_a_miss(redis, item):
    """Written by a pod that means something else by the same key."""

    async def scenario():
        client, _ = await values_of(redis.url)
        await client.flushall()
        async with Opened(redis.url) as pod:
            keys = [pod.nll._key(GROUP, text) for text in GROUP.candidates]
            said = {"status": "scored", **item} if isinstance(item, dict) else item
            await pod.store.put({key: json.dumps(said).encode() for key in keys})
            assert await pod.score() == [1.0, 2.0, 3.0]
            assert await pod.score() == [1.0, 2.0, 3.0]
            assert pod.inner.asked == GROUP.candidates
        await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("what", ["wire", "version", "item"])
def test_another_version_has_other_keys(redis, what, monkeypatch):
    async def scenario():
        client, _ = await values_of(redis.url)
        await client.flushall()
        async with Opened(redis.url) as first:
            await first.score()
            if what == "wire":
                monkeypatch.setattr(caching, "WIRE", caching.WIRE + 1)
            elif what == "version":
                monkeypatch.setattr(caching, "version", lambda _: "next")
            else:

                class Grown(NllScored):
                    added_later: int = 0

                monkeypatch.setattr(NllScored, "model_json_schema", Grown.model_json_schema)
            async with Opened(redis.url) as later:
                assert later.nll._key(GROUP, "nll=1") != first.nll._key(GROUP, "nll=1")
                assert await later.score() == [1.0, 2.0, 3.0]
                assert later.inner.asked == GROUP.candidates
        await client.aclose()

    asyncio.run(scenario())
