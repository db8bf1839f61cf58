"""Signals for watching reward hacking (method: "Signals"): reported beside the reward, not part of eq. 3.

A mean NLL likes loops and copying; these numbers show both. Tokens here are words and punctuation marks of the text, so
that a signal costs microseconds, needs no model, and is the same whatever the backbone. Pure functions.
"""

import re
from collections.abc import Sequence

from service.schema import Signals

NGRAM = 8
_TOKEN = re.compile(r"\w+|[^\w\s]")


def signals_of(candidates: Sequence[str], reference: str | None) -> list[Signals]:
    """One `Signals` a candidate, in order."""
    reference_tokens = _TOKEN.findall(reference) if reference is not None else []
    reference_ngrams = frozenset(_ngrams(reference_tokens))
    return [_signals(candidate, reference_tokens, reference_ngrams) for candidate in candidates]


def _signals(candidate: str, reference_tokens: list[str], reference_ngrams: frozenset[tuple[str, ...]]) -> Signals:
    tokens = _TOKEN.findall(candidate)
    ngrams = _ngrams(tokens)
    total = len(ngrams)
    return Signals(
        n_tokens=len(tokens),
        length_ratio=len(tokens) / len(reference_tokens) if reference_tokens else None,
        repeated=(total - len(set(ngrams))) / total if total else 0.0,
        copied=(sum(g in reference_ngrams for g in ngrams) / total if total else 0.0) if reference_tokens else None,
    )


def _ngrams(tokens: list[str]) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[i:] for i in range(NGRAM)), strict=False))
