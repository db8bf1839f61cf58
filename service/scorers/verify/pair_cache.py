"""The latest decisions about (gold, prediction) pairs, across requests.

Bounded in bytes: hostile predictions are long, and a bound on their number alone would be none on memory.
Not covered: use from several threads at once.
"""

import sys
from collections import OrderedDict

from rewright.service.core.workers.pool import Failure

Pair = tuple[str, str]
Decision = bool | Failure
"""Equal or not; or past every limit, for what a pair costs is as much its own as what it says."""
_ENTRY_BYTES = 250
"""The tuple, its place in the dictionary and its links, roughly; the texts come on top."""


class PairCache:
    """max_bytes: what keys and bookkeeping may take; the pair used longest ago goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._decisions: OrderedDict[Pair, Decision] = OrderedDict()

    def __len__(self) -> int:
        return len(self._decisions)

    def get(self, pair: Pair) -> Decision | None:
        """The decision, which counts as a use; None for a pair that is not remembered."""
        decision = self._decisions.get(pair)
        if decision is not None:
            self._decisions.move_to_end(pair)
        return decision

    def put(self, pair: Pair, decision: Decision) -> None:
        if pair not in self._decisions:
            self._bytes += _size(pair)
        self._decisions[pair] = decision
        while self._bytes > self._max_bytes:
            oldest, _ = self._decisions.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(pair: Pair) -> int:
    return sys.getsizeof(pair[0]) + sys.getsizeof(pair[1]) + _ENTRY_BYTES
