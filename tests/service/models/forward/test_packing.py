"""packing: every token once, every span sees its own text and nothing else, nothing is kept that is not needed."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewright.service.models.forward.packing import Pack, Tree, packs

Text = tuple[int, ...]


def trees_of(lengths: Sequence[tuple[int, Sequence[int]]]) -> list[Tree]:
    """Ids that tell trees, candidates and places apart."""
    count = iter(range(10**9))
    return [
        Tree([next(count) for _ in range(prefix)], [[next(count) for _ in range(n)] for n in candidates])
        for prefix, candidates in lengths
    ]


lengths = st.lists(
    st.tuples(st.integers(1, 12), st.lists(st.integers(1, 20), min_size=1, max_size=5)), min_size=1, max_size=4
)


def seen_by_reads(made: Iterator[Pack]) -> Iterator[tuple[int, int, Text, list[int]]]:
    """What each read's row may look at, as ids in order of the keys, by following keys from pack to pack."""
    kept: list[int] = []
    for pack in made:
        assert pack.kept == len(kept)
        keys = [*kept, *pack.ids]
        visible: dict[int, Text] = {}
        covered: list[int] = []
        for span in pack.spans:
            own = [keys[k] for start, end in span.keys for k in range(start, end)]
            rows = list(range(*span.rows))
            covered += rows
            assert own[-len(rows) :] == pack.ids[slice(*span.rows)]
            for back, row in enumerate(reversed(rows)):
                visible[row] = tuple(own[: len(own) - back])
                assert pack.positions[row] == len(own) - back - 1
        assert covered == list(range(len(pack.ids)))
        for row, target, slot in zip(pack.reads, pack.targets, pack.slots, strict=True):
            yield slot, target, visible[row], keys
        kept = [keys[k] for start, end in pack.keep for k in range(start, end)]


@given(lengths, st.integers(1, 30))
def test_each_id_is_predicted_once_from_its_own_text_alone(shape: list[tuple[int, list[int]]], size: int) -> None:
    trees = trees_of(shape)
    found = {slot: (target, seen) for slot, target, seen, _ in seen_by_reads(packs(trees, size=size))}
    expected = [
        (token, (*tree.prefix, *ids[:at])) for tree in trees for ids in tree.candidates for at, token in enumerate(ids)
    ]
    assert [found[slot] for slot in range(len(expected))] == expected
    assert len(found) == len(expected)


@given(lengths, st.integers(1, 30))
def test_every_token_is_computed_once_and_packs_are_alike(shape: list[tuple[int, list[int]]], size: int) -> None:
    trees = trees_of(shape)
    made = list(packs(trees, size=size))
    total = sum(tree.rows for tree in trees)
    ids = [token for pack in made for token in pack.ids]
    assert len(ids) == len(set(ids)) == total
    assert all(len(pack.ids) <= size for pack in made)
    assert len(made) == -(-total // size)
    assert len({len(pack.ids) for pack in made[:-1]}) <= 1
    assert made[-1].done == sum(len(tree.candidates) for tree in trees)
    assert made[-1].keep == () or len(made) == 1


@pytest.mark.parametrize("size", [1, 7, 40])
def test_no_more_than_one_prefix_and_one_candidate_is_kept(size: int) -> None:
    trees = trees_of([(9, [30, 4, 30]), (5, [30])])
    assert max(pack.kept for pack in packs(trees, size=size)) <= 9 + 29


@given(lengths, st.integers(1, 30))
def test_ids_asked_for_behind_candidates_see_a_whole_candidate_each(
    shape: list[tuple[int, list[int]]], size: int
) -> None:
    trees = trees_of(shape)
    asked = (7, 8, 9)
    found = {slot: (target, seen) for slot, target, seen, _ in seen_by_reads(packs(trees, size=size, next_ids=asked))}
    expected = [(token, (*tree.prefix, *ids)) for tree in trees for ids in tree.candidates for token in asked]
    assert [found[slot] for slot in range(len(expected))] == expected
    assert len(found) == len(expected)
