"""All sources of a corpus into a pool: what each row is worth, which stage it is of, and where in the draw.

Promises: the same sources give the same pool; duplicates are told over all sources; every row that is left out is
counted and listed; of a source that is to be sampled, rows are chosen by a hash of their number, wherever they stand.
"""

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import replace

from rewright.trainer.data.families import family_hash
from rewright.trainer.data.listing import Listing
from rewright.trainer.data.pool import Pool
from rewright.trainer.data.samples import LeftOut, Sample, read_source
from rewright.trainer.data.split import place_in_draw, stage_of
from rewright.trainer.recipes.blocks import Corpus, Source


def fill_pool(corpus: Corpus, pool: Pool, listing: Listing) -> int:
    """How many rows were read. Raises `CorpusError` where a source cannot be read."""
    seen: set[bytes] = set()
    ids: set[str] = set()
    rows = 0
    for source, name in zip(corpus.sources, names_of(corpus.sources), strict=True):
        chosen = _Chosen(source.sample, pool, listing, seed=corpus.seed, name=name)
        for number, read in enumerate(read_source(source, name)):
            rows += 1
            if isinstance(read, LeftOut):
                listing.add(read)
                continue
            problem_hash = read.problem_hash if read.is_unicode else ""
            if not problem_hash:
                listing.add(LeftOut(read.id, read.source, "broken_text"))
            elif (short := bytes.fromhex(problem_hash)[:16]) in seen:
                listing.add(LeftOut(read.id, read.source, "duplicate"))
            elif chosen.takes(number):
                seen.add(short)
                stage = stage_of(family_hash(read.problem), share=corpus.stage_one_share)
                place = place_in_draw(problem_hash, seed=corpus.seed)
                chosen.took(pool.add(_with_own_id(read, ids), stage=stage, place=place), number)
    return rows


class _Chosen:
    """Of a source the `size` rows whose numbers have the smallest hashes; size None: all of them."""

    def __init__(self, size: int | None, pool: Pool, listing: Listing, *, seed: int, name: str) -> None:
        self._size = size
        self._pool = pool
        self._listing = listing
        self._seed = seed
        self._name = name
        self._taken: list[tuple[float, int]] = []

    def takes(self, number: int) -> bool:
        if self._size is None or len(self._taken) < self._size:
            return True
        if self._point(number) < -self._taken[0][0]:
            return True
        self._listing.count("not_sampled")
        return False

    def took(self, member: int, number: int) -> None:
        """member: its number in the pool."""
        if self._size is None:
            return
        entry = (-self._point(number), member)
        if len(self._taken) < self._size:
            heapq.heappush(self._taken, entry)
        else:
            self._pool.drop(heapq.heapreplace(self._taken, entry)[1])
            self._listing.count("not_sampled")

    def _point(self, number: int) -> float:
        return place_in_draw(f"row {self._name} {number}", seed=self._seed)


def names_of(sources: Sequence[Source]) -> list[str]:
    """A name for each source, none twice: the file's, its whole path where two are called alike, or with its number."""
    names = [source.name for source in sources]
    names = [(s.path or n) if names.count(n) > 1 else n for s, n in zip(sources, names, strict=True)]
    return [f"{n}[{index}]" if names.count(n) > 1 else n for index, n in enumerate(names)]


def _with_own_id(sample: Sample, taken: set[str]) -> Sample:
    """Two files, or two shards of one, may both count from 0; the later sample says where it comes from."""
    name = sample.id
    if name in taken:
        name = f"{sample.source}:{sample.id}"
    copies = itertools.count(2)
    while name in taken:
        name = f"{sample.source}:{sample.id}#{next(copies)}"
    taken.add(name)
    return sample if name == sample.id else replace(sample, id=name)
