"""Token n-grams of ASCII texts counted for many texts at once, as arrays of hashes.

Tokens are those of `signals.TOKEN`: runs of letters, digits and underscores, and single other signs that are no white
space. Equal n-grams have equal hashes; different ones share a hash by chance alone: 48 bits of it within a text, 64
against the reference. A text's own hash is a polynomial in an odd base modulo 2^64, whose prefix sums give that of any
piece of it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_SPACE, _WORD, _SIGN = 0, 1, 2
_BASE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_MIX = np.uint64(0xD6E8FEB86659FD93)


MOST_TEXTS = 1 << 16
"""The number of a text stands in the upper bits of its n-grams."""


class Counts(NamedTuple):
    """Of one text: tokens, n-grams, distinct n-grams, and n-grams that stand in the first text too."""

    tokens: int
    ngrams: int
    distinct: int
    copied: int


def ngram_counts(texts: Sequence[str], n: int) -> list[Counts]:
    """One result per text, in order. Texts must be ASCII, and at most `MOST_TEXTS`."""
    joined = np.frombuffer("\n".join(texts).encode("ascii"), dtype=np.uint8)
    starts, ends = _tokens(joined)
    hashes_T = _rolled(_token_hashes(joined, starts, ends), n)
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    # Where each text's tokens begin among all: a line feed stands between texts.
    borders = np.searchsorted(starts, np.concatenate([[0], np.cumsum(lengths + 1)]))
    tokens = np.diff(borders)
    # Those that begin in one text and end in the next are none.
    owner_T = np.repeat(np.arange(len(texts)), tokens)
    whole_G = np.flatnonzero(owner_T[: len(hashes_T)] == owner_T[n - 1 :])
    owner_G, hashes_G = owner_T[whole_G], hashes_T[whole_G]
    keys_G = np.sort(owner_G.astype(np.uint64) << np.uint64(48) | hashes_G >> np.uint64(16))
    first_G = np.ones(len(keys_G), dtype=bool)
    np.not_equal(keys_G[1:], keys_G[:-1], out=first_G[1:])
    distinct = np.bincount((keys_G[first_G] >> np.uint64(48)).astype(np.int64), minlength=len(texts))
    ngrams = np.maximum(tokens - n + 1, 0)
    copied = np.bincount(owner_G[_among(hashes_G, hashes_G[: ngrams[0]])], minlength=len(texts))
    return [Counts(*row) for row in zip(*(x.tolist() for x in (tokens, ngrams, distinct, copied)), strict=True)]


def _among(hashes_G: Hashes, wanted: Hashes) -> NDArray[np.int64]:
    """Places of those hashes that are wanted. Most are not, and a look at 16 of their bits tells it."""
    table = np.zeros(1 << 16, dtype=bool)
    table[wanted & np.uint64(0xFFFF)] = True
    likely = np.flatnonzero(table[hashes_G & np.uint64(0xFFFF)])
    if not len(likely):
        return likely
    in_order = np.sort(wanted)
    place = np.minimum(in_order.searchsorted(hashes_G[likely]), len(in_order) - 1)
    found: NDArray[np.int64] = likely[in_order[place] == hashes_G[likely]]
    return found


def _tokens(joined: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where every token starts and ends."""
    kind = _kinds().take(joined)
    word = kind == _WORD
    before = np.concatenate([[False], word[:-1]])
    after = np.concatenate([word[1:], [False]])
    sign = kind == _SIGN
    starts = np.flatnonzero(sign | (word & ~before))
    ends = np.flatnonzero(sign | (word & ~after)) + 1
    return starts, ends


def _token_hashes(joined: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Hashes:
    powers, inverses = _powers(1 << max(10, len(joined).bit_length()))
    # A NUL counts 0, and is a token of its own: none that holds another sign comes out as another.
    sums = np.zeros(len(joined) + 1, dtype=np.uint64)
    np.multiply(joined, powers[: len(joined)], out=sums[1:])
    np.cumsum(sums, out=sums)
    hashes: Hashes = (sums[ends] - sums[starts]) * inverses[starts]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(32)
    return hashes


def _rolled(tokens_T: Hashes, n: int) -> Hashes:
    """Σ_i token[t + i]·B^i for every place t that has n tokens from it on: two halves, and the odd one out."""
    count = max(0, len(tokens_T) - n + 1)
    if n == 1 or not count:
        return tokens_T[:count]
    powers, _ = _powers(1 << 10)
    half = _rolled(tokens_T, n // 2)
    rolled: Hashes = half[:count] + half[n // 2 : n // 2 + count] * powers[n // 2]
    if n % 2:
        rolled += tokens_T[n - 1 :] * powers[n - 1]
    return rolled


@lru_cache(maxsize=32)
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """B^i and B^-i modulo 2^64 for i < count."""
    found = []
    for base in (_BASE, pow(_BASE, -1, 1 << 64)):
        powers = np.full(count, np.uint64(base), dtype=np.uint64)
        powers[0] = 1
        found.append(np.multiply.accumulate(powers))
    return found[0], found[1]


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    signs = (chr(code) for code in range(128))
    return np.array([_WORD if c.isalnum() or c == "_" else _SPACE if c.isspace() else _SIGN for c in signs], np.uint8)
