"""Pieces of the real line: joined, cut, brought to one form. The algebra behind `real_sets`.

All but `union` raise `Unreadable` where they need the value of an end point that has none here. To be called within the
decimal context of `exact_values`.
"""

from dataclasses import dataclass
from decimal import Decimal

from rewright.service.mathematics.answers.exact_values import Unreadable

MAX_PIECES = 40
_NEAR = Decimal(10) ** -300
_INFINITY = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class End:
    """`value` is None where the text has a symbol or what arithmetic does not know."""

    text: str
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Piece:
    low: End
    low_in: bool
    high: End
    high_in: bool

    def __str__(self) -> str:
        return f"{'(['[self.low_in]}{self.low.text},{self.high.text}{')]'[self.high_in]}"


Pieces = tuple[Piece, ...]

BOTTOM, TOP = End("-\\infty", -_INFINITY), End("\\infty", _INFINITY)
LINE = (Piece(BOTTOM, False, TOP, False),)


ZERO = End("0", Decimal(0))
HALVES = {
    "positive": (Piece(ZERO, False, TOP, False),),
    "nonnegative": (Piece(ZERO, True, TOP, False),),
    "negative": (Piece(BOTTOM, False, ZERO, False),),
}


def union(first: Pieces, second: Pieces) -> Pieces:
    if len(first) + len(second) > MAX_PIECES:
        raise Unreadable
    return first + second


def both_or_either(first: Pieces, second: Pieces) -> Pieces:
    try:
        return common(first, second) or union(first, second)
    except Unreadable:
        return union(first, second)


def common(first: Pieces, second: Pieces) -> Pieces:
    found = []
    for a in canonical(first):
        for b in canonical(second):
            low = max((a.low, a.low_in), (b.low, b.low_in), key=lambda end: (_value(end[0]), not end[1]))
            high = min((a.high, a.high_in), (b.high, b.high_in), key=lambda end: (_value(end[0]), end[1]))
            found.append(Piece(low[0], low[1], high[0], high[1]))
    return canonical(tuple(found))


def without(first: Pieces, second: Pieces) -> Pieces:
    if first == LINE and len(second) == 1 and second[0].low == second[0].high:
        return Piece(BOTTOM, False, second[0].low, False), Piece(second[0].high, False, TOP, False)
    rest: list[Piece] = []
    low, low_in = BOTTOM, False
    for piece in canonical(second):
        rest.append(Piece(low, low_in, piece.low, not piece.low_in))
        low, low_in = piece.high, not piece.high_in
    return common(first, (*rest, Piece(low, low_in, TOP, False)))


def canonical(pieces: Pieces) -> Pieces:
    """Sorted, apart from each other, none empty. Raises `Unreadable` where an end has no value."""
    merged: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (_value(piece.low), not piece.low_in)):
        order = _order(piece.low, piece.high)
        if order > 0 or (order == 0 and not (piece.low_in and piece.high_in)):
            continue
        last = merged[-1] if merged else None
        gap = _order(piece.low, last.high) if last else 1
        if last is None or gap > 0 or (gap == 0 and not (piece.low_in or last.high_in)):
            merged.append(piece)
            continue
        further = _order(piece.high, last.high)
        high, high_in = (piece.high, piece.high_in) if further > 0 else (last.high, last.high_in)
        merged[-1] = Piece(last.low, last.low_in, high, high_in or (further == 0 and piece.high_in))
    return tuple(merged)


def _value(end: End) -> Decimal:
    if end.value is None:
        raise Unreadable
    return end.value


def _order(first: End, second: End) -> int:
    a, b = _value(first), _value(second)
    if a == b or (a.is_finite() and b.is_finite() and abs(a - b) <= _NEAR * max(abs(a), abs(b))):
        return 0
    return 1 if a > b else -1


def same_piece(mine: Piece, yours: Piece) -> bool:
    return (
        (mine.low_in, mine.high_in) == (yours.low_in, yours.high_in)
        and _order(mine.low, yours.low) == 0
        and _order(mine.high, yours.high) == 0
    )
