"""The batching queue: budgets, bad items, refusals, callers who leave, and a thread that dies."""

import asyncio
import threading

import pytest

from rewright.service.core.batcher import Batcher
from rewright.service.core.request_context import request_id
from rewright.service.errors import Overloaded, ScorerUnavailable
from tests.waiting import PATIENCE_S, until_so


class Device:
    """Doubles numbers; notes its batches; can be held shut. `begun` counts batches, done or not."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = 0
        self.open = threading.Event()
        self.open.set()

    def run(self, items):
        self.begun += 1
        self.open.wait(PATIENCE_S)
        self.batches.append(list(items))
        if any(item < 0 for item in items):
            raise ValueError("negative")
        if any(item == 666 for item in items):
            raise SystemExit("fatal")
        return [2 * item for item in items]


def batcher(device: Device, *, budget: int = 10, capacity: int = 100) -> Batcher[int, int]:
    b = Batcher("device", device.run, cost=lambda item: max(1, abs(item) % 100), budget=budget, capacity=capacity)
    b.start()
    return b


def test_results_come_back_in_order_within_the_budget():
    async def scenario():
        device = Device()
        b = batcher(device)
        device.open.clear()
        first = asyncio.create_task(b.submit([1]))
        await until_so(lambda: device.begun)
        rest = asyncio.create_task(b.submit([5, 5, 6, 4, 30, 1]))
        await until_so(lambda: b.state().waiting == 6)
        device.open.set()
        assert await first == [2]
        assert await rest == [10, 10, 12, 8, 60, 2]
        assert device.batches == [[1], [5, 5], [6, 4], [30], [1]]
        await b.close()

    asyncio.run(scenario())


def test_what_waits_is_merged_across_callers():
    async def scenario():
        device = Device()
        b = batcher(device)
        device.open.clear()
        callers = [asyncio.create_task(b.submit([2]))]
        await until_so(lambda: device.begun)
        callers += [asyncio.create_task(b.submit([2])) for _ in range(5)]
        await until_so(lambda: b.state().waiting == 5)
        device.open.set()
        assert await asyncio.gather(*callers) == [[4]] * 6
        assert device.batches == [[2], [2] * 5]
        await b.close()

    asyncio.run(scenario())


def test_one_bad_item_costs_its_neighbours_nothing():
    async def scenario():
        device = Device()
        b = batcher(device)
        good, bad, also_good = await b.submit([3, -1, 4])
        assert (good, also_good) == (6, 8) and isinstance(bad, ValueError)
        assert b.alive
        await b.close()

    asyncio.run(scenario())


def test_a_full_queue_refuses_at_once_and_says_how_long():
    async def scenario():
        device = Device()
        b = batcher(device, capacity=20)
        device.open.clear()
        waiting = asyncio.create_task(b.submit([1, 10, 10]))
        await until_so(lambda: device.begun)
        await until_so(lambda: b.state().waiting == 2)
        with pytest.raises(Overloaded) as refused:
            await b.submit([10])
        assert not waiting.done() and refused.value.retry_after >= 1
        device.open.set()
        assert await waiting == [2, 20, 20]
        await b.close()

    asyncio.run(scenario())


def test_callers_who_left_are_skipped():
    async def scenario():
        device = Device()
        b = batcher(device)
        device.open.clear()
        running = asyncio.create_task(b.submit([1]))
        await until_so(lambda: device.begun)
        leaving = asyncio.create_task(b.submit([7]))
        await until_so(lambda: b.state().waiting == 1)
        leaving.cancel()
        await until_so(lambda: b.state().waiting == 0)
        device.open.set()
        await running
        assert await b.submit([8]) == [16]
        assert [7] not in device.batches and b.waiting_cost == 0
        await b.close()

    asyncio.run(scenario())


def test_when_the_thread_dies_every_waiter_is_told():
    async def scenario():
        device = Device()
        b = batcher(device)
        device.open.clear()
        first = asyncio.create_task(b.submit([666]))
        await until_so(lambda: device.begun)
        second = asyncio.create_task(b.submit([50, 50]))
        await until_so(lambda: b.state().waiting == 2)
        device.open.set()
        results = await first + await second
        assert all(isinstance(r, ScorerUnavailable) for r in results)
        assert not b.alive
        with pytest.raises(ScorerUnavailable):
            await b.submit([1])

    threading.excepthook, before = (lambda _: None), threading.excepthook
    try:
        asyncio.run(scenario())
    finally:
        threading.excepthook = before


def test_close_finishes_what_was_accepted():
    async def scenario():
        device = Device()
        b = batcher(device)
        device.open.clear()
        waiting = asyncio.create_task(b.submit([9, 9, 9]))
        await until_so(lambda: device.begun)
        device.open.set()
        await b.close()
        assert await waiting == [18, 18, 18]

    asyncio.run(scenario())


def test_failing_often_is_no_sign_of_life():
    async def scenario():
        b = batcher(Device())
        assert all(isinstance(r, ValueError) for r in await b.submit([-1, -2]))
        assert b.last_worked() is None
        await b.submit([1])
        assert b.last_worked() is not None
        await b.close()

    asyncio.run(scenario())


def test_callers_get_fair_shares():
    async def call(b, name, items):
        request_id.set(name)
        return await b.submit(items)

    async def scenario():
        device = Device()
        b = batcher(device, budget=10, capacity=10_000)
        device.open.clear()
        large = asyncio.create_task(call(b, "large", [1] * 500))
        await until_so(lambda: device.begun)
        small = asyncio.create_task(call(b, "small", [2] * 3))
        await until_so(lambda: b.state().waiting > 490)
        device.open.set()
        assert await small == [4] * 3
        last = max(n for n, batch in enumerate(device.batches) if 2 in batch)
        assert last <= 2
        assert len(await large) == 500
        state = b.state()
        assert (state.waiting, state.batch_items, state.batch_cost) == (0, 503, 506)
        await b.close()

    asyncio.run(scenario())


def test_a_batch_of_failures_that_are_data_is_no_sign_of_life():
    async def scenario():
        b = Batcher(
            "device",
            lambda items: ["lost" if item < 0 else "done" for item in items],
            lambda _: 1,
            budget=4,
            capacity=10,
            worked=lambda result: result == "done",
        )
        b.start()
        assert await b.submit([-1, -2]) == ["lost", "lost"]
        assert b.last_worked() is None
        assert await b.submit([-1, 1]) == ["lost", "done"]
        assert b.last_worked() is not None
        await b.close()
        assert b.last_worked() is None

    asyncio.run(scenario())
