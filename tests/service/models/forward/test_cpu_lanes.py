"""Work cut over the cores: in order, nothing lost, each lane computing alone."""

import threading
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewright.service.models.forward.cpu_lanes import Lanes

LANES = Lanes(3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 2000), max_size=40))
def test_every_item_is_answered_once_and_in_order(costs: list[int]) -> None:
    items = list(enumerate(costs))

    def work(part: Sequence[tuple[int, int]]) -> list[int]:
        return [at for at, _ in part]

    assert LANES.run(work, items, cost=lambda part: sum(c for _, c in part)) == list(range(len(items)))


def test_enough_work_goes_over_all_lanes_each_without_threads_inside() -> None:
    everywhere = torch.get_num_threads()
    barrier = threading.Barrier(3, timeout=20)

    def work(part: Sequence[int]) -> list[tuple[int, int]]:
        barrier.wait()  # passes only if three lanes work at the same time
        return [(threading.get_ident(), torch.get_num_threads())] * len(part)

    found = LANES.run(work, [300] * 9, cost=sum)
    assert len({thread for thread, _ in found}) == 3 and {count for _, count in found} == {1}
    assert torch.get_num_threads() == everywhere
    counts = []
    fresh = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert counts == [everywhere]


def test_a_group_is_cut_only_where_the_lanes_would_else_be_uneven() -> None:
    """Items of a group share something that costs 100 once a piece."""

    def cost(part: Sequence[tuple[str, int]]) -> int:
        return sum(each for _, each in part) + 100 * len({group for group, _ in part})

    def pieces(items: list[tuple[str, int]]) -> list[list[tuple[str, int]]]:
        seen: list[list[tuple[str, int]]] = []
        lanes = Lanes(2)
        lanes.run(lambda part: seen.append(list(part)) or list(part), items, cost=cost)  # type: ignore[func-returns-value]
        lanes.close()
        return sorted(seen)

    def group(name: str) -> list[tuple[str, int]]:
        return [(name, each) for each in (301, 302, 303, 304)]

    assert pieces(group("a")) == [group("a")[:2], group("a")[2:]]
    assert pieces(group("a") + group("b")) == [group("a"), group("b")]
    three = pieces(group("a") + group("b") + group("c"))
    assert len(three) == 4 and sum(piece in (group("a"), group("b"), group("c")) for piece in three) == 2


def test_little_work_stays_in_the_callers_thread() -> None:
    assert (
        LANES.run(lambda part: [threading.get_ident()] * len(part), [100, 100], cost=sum) == [threading.get_ident()] * 2
    )


def test_what_a_lane_raises_is_raised() -> None:
    def work(part: Sequence[int]) -> list[int]:
        if 7 in part:
            raise MemoryError("seven")
        return list(part)

    with pytest.raises(MemoryError, match="seven"):
        LANES.run(work, [900, 900, 7, 900], cost=sum)
