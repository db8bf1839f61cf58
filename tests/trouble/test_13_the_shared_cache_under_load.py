"""Any number of groups at once find what is in the shared cache: a real Redis, in memory, on loopback."""

import asyncio
import socket
import threading

import pytest

from rewright.service.scorers.caching.scorer import CachedScorer
from rewright.service.scorers.caching.store import SharedStore
from rewright.service.scorers.nll.spec import SPEC as NLL
from tests.plain_scorers import PlainNll
from tests.trouble.odd_pod import groups, nlls
from tests.trouble.redis_process import redis_server


@pytest.fixture(scope="module")
def redis():
    with redis_server() as server:
        yield server


def pod(url):
    inner = PlainNll()
    return inner, CachedScorer(inner, NLL, entries=100_000, shared=SharedStore(url))


@pytest.mark.parametrize("count", [64, 256, 1000])
def test_all_groups_at_once_hit(redis, count):
    async def scenario():
        asked = groups(count, size=8, start=count * 10)
        first, filling = pod(redis.url)
        await filling.open()
        await asyncio.gather(*(filling.score([group]) for group in asked))
        assert len(first.asked) == 8 * count
        assert filling.cache_state() == (0, 0, 8 * count, 0)
        await filling.close()

        second, reading = pod(redis.url)
        await reading.open()
        found = await asyncio.gather(*(reading.score([group]) for group in asked))
        assert [nlls(one) for one in found] == [[[float(k + 1) for k in range(8)]]] * count
        assert not second.asked
        assert reading.cache_state() == (0, 8 * count, 0, 0)
        await reading.close()

    asyncio.run(scenario())


def test_callers_who_leave_take_nothing_from_the_others(redis):
    async def scenario():
        asked = groups(200, start=50_000)
        _, filling = pod(redis.url)
        await filling.open()
        await filling.score(asked)
        await filling.close()
        inner, reading = pod(redis.url)
        await reading.open()
        asking = [asyncio.create_task(reading.score([group])) for group in asked]
        await asyncio.sleep(0)
        for task in asking[::2]:
            task.cancel()
        kept = await asyncio.gather(*asking[1::2])
        assert [nlls(one) for one in kept] == [[[1.0, 2.0]]] * 100 and not inner.asked
        await reading.close()

    asyncio.run(scenario())


def test_a_store_that_hangs_is_left_alone_and_asked_again(redis):
    """A listener that never answers; then the scores are computed, and the wait is paid once."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)

        async def scenario():
            inner, nll = pod(f"redis://127.0.0.1:{listening.getsockname()[1]}/0")
            await nll.open()
            found = await asyncio.gather(*(nll.score([group]) for group in groups(256)))
            assert [nlls(one) for one in found] == [[[1.0, 2.0]]] * 256
            assert nll.cache_state().errors <= 4 and len(inner.asked) == 512
            await nll.close()

        asyncio.run(scenario())


def test_a_store_that_answers_garbage_is_a_miss():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        listening.settimeout(0.1)
        over = threading.Event()

        def answer():
            while not over.is_set():
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(b"*2\r\n$3\r\nabc\r\n:notanumber\r\nHTTP/1.1 200 OK\r\n\r\n" * 50)

        thread = threading.Thread(target=answer)
        thread.start()

        async def scenario():
            inner, nll = pod(f"redis://127.0.0.1:{listening.getsockname()[1]}/0")
            await nll.open()
            for start in (0, 100, 200):
                found = await nll.score(groups(20, start=start))
                assert nlls(found) == [[1.0, 2.0]] * 20
            assert len(inner.asked) == 120 and nll.cache_state().errors
            await nll.close()

        try:
            asyncio.run(scenario())
        finally:
            over.set()
            thread.join(20)
