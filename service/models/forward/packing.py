"""Which tokens of which candidates go through the model together: prefixes and candidates in one row, without padding.

The tokens of all trees (a prefix and the candidates that continue it) form one stream: prefix, first candidate, second
candidate, next prefix … The stream is cut into packs of equal size wherever the size falls, also inside a candidate.
What follows the cut still sees the keys of its own prefix and of its own beginning: the pack before keeps those.

What is asked for is each candidate's ids, or, where `next_ids` are given, these alone, each as what follows a whole
candidate.

Promises: every token is computed once (a last one that predicts nothing, never), every pack is at most
`size` rows, and no more than one prefix and one candidate are kept from a pack to the next.

Pure arithmetic over lengths; knows no tensors. Not covered: beginnings that candidates share, prefixes kept across
requests.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Ids = Sequence[int]


class Tree(NamedTuple):
    """Candidates (at least one id each) that continue one prefix (at least one id)."""

    prefix: Ids
    candidates: Sequence[Ids]

    @property
    def rows(self) -> int:
        return len(self.prefix) + sum(len(ids) - 1 for ids in self.candidates)


class Stretch(NamedTuple):
    """A range, its end not included."""

    start: int
    end: int


class Span(NamedTuple):
    """Consecutive rows of one text. They see all of `keys`, the last of which are their own: causal from the end."""

    rows: Stretch
    keys: tuple[Stretch, ...]
    """Counted over the keys kept from the pack before, then this pack's rows."""


@dataclass
class Pack:
    """One forward pass of `len(ids)` rows."""

    kept: int
    """Keys a layer that come from the pack before."""
    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    keep: tuple[Stretch, ...] = ()
    """Keys that the next pack needs, counted as in `Span.keys`."""
    reads: list[int] = field(default_factory=list)
    """Rows whose prediction is scored; a row that several candidates follow stands there once for each."""
    targets: list[int] = field(default_factory=list)
    """The id that each read is asked for."""
    slots: list[int] = field(default_factory=list)
    """Where each read's answer belongs: counted over all candidates' ids, trees in order."""
    done: int = 0
    """Candidates, counted over all trees, that are complete once this pack ran."""


def packs(trees: Sequence[Tree], *, size: int, next_ids: Ids = ()) -> Iterator[Pack]:
    """The stream of `trees`, cut into packs of at most `size` rows and of as equal size as can be."""
    total = sum(tree.rows + (len(tree.candidates) if next_ids else 0) for tree in trees)
    count = -(-total // size)
    stream = _Stream(-(-total // count), next_ids)
    slot = finished = 0
    for tree in trees:
        yield from stream.prefix(tree, slot)
        for ids in tree.candidates:
            yield from stream.candidate(ids, slot)
            slot += len(next_ids or ids)
            finished += 1
            stream.pack.done = finished
    yield stream.pack


class _Stream:
    def __init__(self, size: int, next_ids: Ids) -> None:
        self._size = size
        self._next_ids = next_ids
        self.pack = Pack(kept=0)
        self._prefix: list[Stretch] = []
        self._own: list[Stretch] = []

    def prefix(self, tree: Tree, slot: int) -> Iterator[Pack]:
        self._prefix, self._own = [], []
        yield from self._feed(tree.prefix, self._prefix, at=0)
        if self._next_ids:
            return
        last = len(self.pack.ids) - 1
        for ids in tree.candidates:
            self._read([last], ids[:1], slot)
            slot += len(ids)

    def candidate(self, ids: Ids, slot: int) -> Iterator[Pack]:
        self._own = []
        if self._next_ids:
            yield from self._feed(ids, self._own, at=_length(self._prefix))
            self._read([len(self.pack.ids) - 1] * len(self._next_ids), self._next_ids, slot)
            return
        yield from self._feed(ids[:-1], self._own, at=_length(self._prefix), predicts=ids[1:], slot=slot + 1)

    def _feed(
        self, ids: Ids, into: list[Stretch], *, at: int, predicts: Ids | None = None, slot: int = 0
    ) -> Iterator[Pack]:
        done = 0
        while done < len(ids):
            if len(self.pack.ids) == self._size:
                yield self._cut()
            pack = self.pack
            first = len(pack.ids)
            count = min(self._size - first, len(ids) - done)
            rows = Stretch(first, first + count)
            into.append(Stretch(pack.kept + rows.start, pack.kept + rows.end))
            pack.ids.extend(ids[done : done + count])
            pack.positions.extend(range(at + done, at + done + count))
            pack.spans.append(Span(rows, _joined([*self._prefix, *self._own])))
            if predicts is not None:
                self._read(range(*rows), predicts[done : done + count], slot + done)
            done += count

    def _read(self, rows: Sequence[int], targets: Ids, slot: int) -> None:
        self.pack.reads.extend(rows)
        self.pack.targets.extend(targets)
        self.pack.slots.extend(range(slot, slot + len(targets)))

    def _cut(self) -> Pack:
        full = self.pack
        full.keep = _joined([*self._prefix, *self._own])
        shared, own = _length(self._prefix), _length(self._own)
        # In place: `_feed` goes on appending to the same lists.
        self._prefix[:] = [Stretch(0, shared)] if shared else []
        self._own[:] = [Stretch(shared, shared + own)] if own else []
        self.pack = Pack(kept=shared + own, done=full.done)
        return full


def _length(stretches: Sequence[Stretch]) -> int:
    return sum(end - start for start, end in stretches)


def _joined(stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """The same keys in the same order, neighbours as one."""
    joined: list[Stretch] = []
    for stretch in stretches:
        if joined and joined[-1].end == stretch.start:
            joined[-1] = Stretch(joined[-1].start, stretch.end)
        else:
            joined.append(stretch)
    return tuple(joined)
