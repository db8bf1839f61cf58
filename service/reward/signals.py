"""Signals for watching reward hacking (method: "Signals"): reported beside the reward, not part of eq. 3.

A mean NLL likes loops and copying; these numbers show both. Tokens here are words and punctuation marks of the text, so
that a signal costs microseconds, needs no model, and is the same whatever the backbone. Pure functions.

A step of 512 × 10 candidates passes through here on the gateway's one event loop, so groups in plain ASCII are counted
as arrays (`rewright.service.reward.ngrams`), several times as fast as by the regular expression that says what a token
is.
"""

import re
from collections.abc import Sequence

from rewright.service.reward.ngrams import MOST_TEXTS, Counts, ngram_counts
from rewright.service.schema import Signals

NGRAM = 8
TOKEN = re.compile(r"\w+|[^\w\s]")


def signals_of(candidates: Sequence[str], reference: str | None) -> list[Signals]:
    """One `Signals` a candidate, in order."""
    texts = [reference or "", *candidates]
    arrays = len(texts) <= MOST_TEXTS and all(map(str.isascii, texts))
    counted = ngram_counts(texts, NGRAM) if arrays else _by_pattern(texts)
    reference_tokens = counted[0].tokens if reference is not None else 0
    return [_signals(counts, reference_tokens) for counts in counted[1:]]


def _signals(counts: Counts, reference_tokens: int) -> Signals:
    total = counts.ngrams
    return Signals(
        n_tokens=counts.tokens,
        length_ratio=counts.tokens / reference_tokens if reference_tokens else None,
        repeated=(total - counts.distinct) / total if total else 0.0,
        copied=(counts.copied / total if total else 0.0) if reference_tokens else None,
    )


def _by_pattern(texts: Sequence[str]) -> list[Counts]:
    """Counts of every text beside the first, which is the reference."""
    tokens = [TOKEN.findall(text) for text in texts]
    ngrams = [list(zip(*(each[i:] for i in range(NGRAM)), strict=False)) for each in tokens]
    reference = set(ngrams[0])
    return [
        Counts(len(t), len(n), len(set(n)), sum(map(reference.__contains__, n)))
        for t, n in zip(tokens, ngrams, strict=True)
    ]
