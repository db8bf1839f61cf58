"""The memory of pairs is bounded in bytes, whatever the pairs look like."""

import tracemalloc

from rewright.service.scorers.verify.pair_cache import PairCache


def test_long_texts_push_out_what_was_used_longest_ago() -> None:
    remembered = PairCache(10_000)
    remembered.put(("1", "2"), False)
    remembered.put(("3", "3"), True)
    remembered.put(("4", "x" * 8_000), False)
    assert remembered.get(("1", "2")) is False  # used now, so that the next goes first
    remembered.put(("5", "y" * 800), True)
    assert remembered.get(("3", "3")) is None
    assert remembered.get(("1", "2")) is False
    assert remembered.get(("5", "y" * 800)) is True


def test_a_pair_put_twice_counts_once() -> None:
    remembered = PairCache(10_000)
    for _ in range(1_000):
        remembered.put(("1", "2"), True)
    remembered.put(("3", "4"), True)
    assert len(remembered) == 2


def test_a_pair_larger_than_the_bound_is_left_out_and_pushes_nothing_out() -> None:
    remembered = PairCache(10_000)
    remembered.put(("1", "2"), True)
    remembered.put(("3", "x" * 20_000), True)
    assert remembered.get(("3", "x" * 20_000)) is None
    assert remembered.get(("1", "2")) is True


def test_memory_stays_within_the_bound() -> None:
    bound = 2_000_000
    remembered = PairCache(bound)
    tracemalloc.start()
    for n in range(20_000):
        remembered.put((str(n), f"{n}" * (n % 97)), True)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 1.3 * bound
