"""The latest decisions about (gold, prediction) pairs, across requests.

Bounded in bytes: hostile predictions are long, and a bound on their number alone would be none on memory.
Not covered: use from several threads at once.
"""

import sys
from typing import NamedTuple

from cachetools import LRUCache

from rewright.service.core.workers.pool import Failure

Pair = tuple[str, str]
Decision = bool | Failure
"""Equal or not; or past every limit, for what a pair costs is as much its own as what it says."""
_ENTRY_BYTES = 500
"""The tuples and their places in the cache's three dictionaries, roughly; the texts come on top."""


class _Kept(NamedTuple):
    decision: Decision
    n_bytes: int


class PairCache:
    """max_bytes: what keys and bookkeeping may take; the pair used longest ago goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._kept: LRUCache[Pair, _Kept] = LRUCache(max_bytes, getsizeof=lambda kept: kept.n_bytes)

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, pair: Pair) -> Decision | None:
        """The decision, which counts as a use; None for a pair that is not remembered."""
        kept = self._kept.get(pair)
        return kept.decision if kept is not None else None

    def put(self, pair: Pair, decision: Decision) -> None:
        """Remember the decision; a pair that is larger than the whole bound is left out."""
        n_bytes = sys.getsizeof(pair[0]) + sys.getsizeof(pair[1]) + _ENTRY_BYTES
        if n_bytes <= self._kept.maxsize:
            self._kept[pair] = _Kept(decision, n_bytes)
