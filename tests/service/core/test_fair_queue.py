"""Fair shares: whose turn it is among callers of very different size."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from rewright.service.core.fair_queue import FairQueue
from rewright.service.core.fair_semaphore import FairSemaphore
from rewright.service.core.request_context import request_id
from tests.waiting import PATIENCE_S


def picks(queue):
    found = []
    while (entry := queue.peek()) is not None:
        queue.take(entry)
        found.append(entry.item)
    return found


def test_a_small_request_goes_before_the_rest_of_a_large_one():
    queue = FairQueue(head_start=10)
    for n in range(100):
        queue.push("large", ("large", n), 1)
    taken = []
    for _ in range(20):
        entry = queue.peek()
        queue.take(entry)
        taken.append(entry.item)
    for n in range(5):
        queue.push("small", ("small", n), 1)
    order = picks(queue)
    assert max(place for place, item in enumerate(order) if item[0] == "small") <= 10
    assert [n for name, n in order if name == "large"] == list(range(20, 100))


def test_many_small_requests_do_not_starve_a_large_one():
    queue = FairQueue(head_start=10)
    for _ in range(50):
        queue.push("large", "large", 1)
    served = 0
    for n in range(60):
        queue.push(f"small {n}", "small", 1)
        entry = queue.peek()
        queue.take(entry)
        served += entry.item == "large"
    assert served >= 25


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 50)), max_size=60), st.data())
def test_everything_comes_out_once_and_each_caller_in_order(pushed, data):
    queue = FairQueue(head_start=20)
    entries = [queue.push(caller, (caller, n), cost) for n, (caller, cost) in enumerate(pushed)]
    left = data.draw(st.sets(st.integers(0, max(0, len(entries) - 1)))) if entries else set()
    for n in left:
        queue.take(entries[n], served=False)
    assert queue.cost == sum(cost for n, (_, cost) in enumerate(pushed) if n not in left)
    out = picks(queue)
    assert sorted(out) == sorted((c, n) for n, (c, _) in enumerate(pushed) if n not in left)
    for caller in range(5):
        mine = [n for c, n in out if c == caller]
        assert mine == sorted(mine)
    assert len(queue) == queue.cost == 0 and queue.oldest_wait_s() == 0.0


def test_slots_are_shared_fairly_and_given_back_by_those_who_leave():
    async def scenario():
        slots = FairSemaphore(2)
        order = []

        async def work(name):
            request_id.set(name)
            async with slots:
                order.append(name)
                await asyncio.sleep(0)

        large = [asyncio.create_task(work("large")) for _ in range(50)]
        await asyncio.sleep(0)
        small = asyncio.create_task(work("small"))
        await asyncio.sleep(0)
        for task in large[10:20]:
            task.cancel()
        await asyncio.gather(*large, small, return_exceptions=True)
        assert order.index("small") <= 6 and len(order) == 41
        async with slots, asyncio.timeout(PATIENCE_S):
            await slots.acquire()

    asyncio.run(scenario())
