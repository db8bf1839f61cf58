"""Work of a CPU model cut over its cores: each lane is a thread that computes alone, with no threads inside.

An operator spread over all cores waits for the slowest at its end, thousands of times per batch, and small operators
gain nothing from a second core. Independent pieces, one a core, never wait for one another; a lane that is done takes
the next piece, the costly ones first, so that all end at about the same time.

Promises: results in the order of the items; the first exception of a piece is raised once all are done.
Not covered: work that is cheaper in smaller pieces; `cost` is believed to be about right.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import accumulate
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_LEAST = 256
"""Of `cost` a lane: with less, every core reading all weights for itself costs more than waiting for one another."""
_PIECE = 2048
"""Of `cost`: larger pieces save nothing more."""
_UNEVEN = 1.03
"""How much longer than its fair share the fullest lane may take before a piece is cut where cutting costs."""


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
        """`work` over consecutive pieces of `items`; all in the caller's thread where there is too little to share.

        cost: what a piece costs, less than its parts where they share something; work(items): one result an item, in
        order.
        """
        if self._threads is None or cost(items) < self._count * _LEAST:
            return work(items)
        pieces = _pieces(items, cost, self._count)
        order = sorted(range(len(pieces)), key=lambda at: -cost(pieces[at]))
        futures = {at: self._threads.submit(_alone, work, pieces[at]) for at in order}
        wait(futures.values())
        return [result for at in range(len(pieces)) for result in futures[at].result()]


def _alone(work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item]) -> list[Result]:
    if torch.get_num_threads() != 1:
        everywhere = torch.get_num_threads()
        torch.set_num_threads(1)
        _ONE.submit(torch.set_num_threads, everywhere).result()
    return work(items)


_ONE = ThreadPoolExecutor(1, thread_name_prefix="threads-elsewhere")
"""torch keeps the count of the calling thread, and one that threads to come start with: this thread puts that back."""


def _pieces(items: Sequence[Item], cost: Callable[[Sequence[Item]], int], count: int) -> list[Sequence[Item]]:
    """Consecutive pieces, none empty: cut where it costs nothing, and elsewhere only to keep all lanes busy."""
    grain = min(_PIECE, cost(items) // (4 * count))
    pieces: list[Sequence[Item]] = []
    start = 0
    for at in range(1, len(items)):
        shares = cost(items[at - 1 : at + 1]) < cost(items[at - 1 : at]) + cost(items[at : at + 1])
        if not shares and cost(items[start:at]) >= grain:
            pieces.append(items[start:at])
            start = at
    pieces.append(items[start:])
    while len(pieces) < 8 * count:
        costs = [cost(piece) for piece in pieces]
        largest = max(range(len(pieces)), key=costs.__getitem__)
        if len(pieces[largest]) == 1 or _longest(costs, count) <= _UNEVEN * sum(costs) / count:
            break
        pieces[largest : largest + 1] = _halves(pieces[largest], cost)
    return pieces


def _halves(piece: Sequence[Item], cost: Callable[[Sequence[Item]], int]) -> list[Sequence[Item]]:
    upto = list(accumulate(cost([item]) for item in piece))
    at = min(range(1, len(piece)), key=lambda at: abs(2 * upto[at - 1] - upto[-1]))
    return [piece[:at], piece[at:]]


def _longest(costs: Sequence[int], count: int) -> int:
    """What the fullest lane has to do when the costly pieces are taken first."""
    lanes = [0] * count
    for each in sorted(costs, reverse=True):
        lanes[lanes.index(min(lanes))] += each
    return max(lanes)
