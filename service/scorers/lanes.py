"""Work of a CPU model cut over its cores: each lane is a thread that computes alone, with no threads inside.

An operator spread over all cores waits for the slowest at its end, thousands of times a batch, and small operators gain
nothing from a second core. Independent parts, one a core, never wait for one another.

Promises: results in the order of the items; the first exception of a lane is raised once all lanes are done.
Not covered: how long an item takes; `cost` is believed.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LEAST = 256
"""Of `cost` a lane: with less, every core reading all weights for itself costs more than waiting for one another."""


class Lanes:
    """As many threads as `count`. Belongs to one caller at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="lane") if count > 1 else None

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown()

    def run(
        self,
        work: Callable[[Sequence[Item]], list[Result]],
        items: Sequence[Item],
        *,
        cost: Callable[[Sequence[Item]], int],
    ) -> list[Result]:
        """`work` over stretches of `items`, one a lane; all in the caller's thread where there is too little to share.

        cost: what a stretch costs; work(items): one result an item, in order.
        """
        if self._threads is None or cost(items) < self._count * _LEAST:
            return work(items)
        stretches = _fair(items, [cost([item]) for item in items], self._count)
        futures = [self._threads.submit(_alone, work, stretch) for stretch in stretches]
        wait(futures)
        return [result for future in futures for result in future.result()]


def _alone(work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    if torch.get_num_threads() != 1:
        everywhere = torch.get_num_threads()
        torch.set_num_threads(1)
        _ONE.submit(torch.set_num_threads, everywhere).result()
    return work(items)


_ONE = ThreadPoolExecutor(1, thread_name_prefix="threads-elsewhere")
"""torch keeps the count of the calling thread, and one that threads to come start with: this thread puts that back."""


def _fair(items: Sequence[Item], costs: Sequence[int], count: int) -> list[Sequence[Item]]:
    """Consecutive stretches of about the same cost; none is empty."""
    total = sum(costs)
    stretches: list[Sequence[Item]] = []
    start = spent = 0
    for at, each in enumerate(costs):
        # Cut where the middle of the item lies past the share.
        if at > start and (spent + each / 2) * count > total * (len(stretches) + 1):
            stretches.append(items[start:at])
            start = at
        spent += each
    return [*stretches, items[start:]]
