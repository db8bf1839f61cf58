"""The latest decisions about (gold, prediction) pairs, across requests.

Bounded in bytes: hostile predictions are long, and a bound on their number alone would be none on memory.
Not covered: use from several threads at once.
"""

import sys
from collections import OrderedDict

Pair = tuple[str, str]
_ENTRY_BYTES = 250
"""The tuple, its place in the dictionary and its links, roughly; the texts come on top."""


class RememberedPairs:
    """max_bytes: what keys and bookkeeping may take; the pair used longest ago goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._verdicts: OrderedDict[Pair, bool] = OrderedDict()

    def __len__(self) -> int:
        return len(self._verdicts)

    def get(self, pair: Pair) -> bool | None:
        """The verdict, which counts as a use; None for a pair that is not remembered."""
        verdict = self._verdicts.get(pair)
        if verdict is not None:
            self._verdicts.move_to_end(pair)
        return verdict

    def put(self, pair: Pair, verdict: bool) -> None:
        if pair not in self._verdicts:
            self._bytes += _size(pair)
        self._verdicts[pair] = verdict
        while self._bytes > self._max_bytes:
            oldest, _ = self._verdicts.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(pair: Pair) -> int:
    return sys.getsizeof(pair[0]) + sys.getsizeof(pair[1]) + _ENTRY_BYTES
