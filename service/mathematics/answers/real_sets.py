r"""Sets of real numbers, however they are written: intervals, inequalities, set builders, all numbers but some.

Policy
- `a < x < b`, `x \in (a, b)`, `\{x \mid a < x < b\}` and (a, b) are one set, end points included as written
  (policy:relation-vs-interval). Where both answers name the variable, the names must agree.
- Parts that touch or overlap are one: [0, 1) ∪ [1, 2] is [0, 2]. `or` joins. So does a comma, where the parts have
  nothing in common; where they have, both conditions hold (`x > 2, x < 3`).
- Points alone are a set only in braces.

End points without symbols are compared by value, to hundreds of digits; where an end point has no value here, parts are
compared as they are written.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

from rewright.service.mathematics.answers.arithmetic import value_of
from rewright.service.mathematics.answers.exact_values import CONTEXT, Unreadable, decimal
from rewright.service.mathematics.answers.structure import read, signs_apart, split

_SIGNAL = re.compile(r"[<>]|\\(?:le|ge|ne|in|notin|cup|cap|setminus|mid|mathbb)(?![a-z])|\\\{[^{}]*[:|]|real")
_NAME = re.compile(
    r"[A-Za-z](?:_(?:\w|\{\w+\}))?(?:\([A-Za-z]\))?|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|sigma|rho|tau)"
)
_SIZE = re.compile(rf"\|({_NAME.pattern})\|")
_INTERVAL = re.compile(r"([(\[\]])(.*)([)\]\[])", re.DOTALL)
_REALS = re.compile(r"\\mathbb\{R\}(?:\^\{?([+*-])\}?|_\{?([<>]|\\[lg]e|\+)0?\}?)?")
_ALL_REALS = re.compile(
    r"\s*all (?:(positive|negative|non-?negative) )?(?:reals?|real (?:numbers?|values?(?: of)?))(?: [a-z])?"
    r"(?: (?:except|but|other than|not equal to)(?: for)?(.+))?",
    re.IGNORECASE,
)
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_NEAR = Decimal(10) ** -300
_MAX_PIECES = 40
_MAX_DEPTH = 6
_INFINITY = Decimal("Infinity")


@dataclass(frozen=True, slots=True)
class _End:
    """`value` is None where the text has a symbol or what arithmetic does not know."""

    text: str
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class _Piece:
    low: _End
    low_in: bool
    high: _End
    high_in: bool

    def __str__(self) -> str:
        return f"{'(['[self.low_in]}{self.low.text},{self.high.text}{')]'[self.high_in]}"


@dataclass(frozen=True, slots=True)
class _Set:
    name: str | None
    pieces: tuple[_Piece, ...]


_BOTTOM, _TOP = _End("-\\infty", -_INFINITY), _End("\\infty", _INFINITY)
_LINE = (_Piece(_BOTTOM, False, _TOP, False),)


_ZERO = _End("0", Decimal(0))
_HALVES = {
    "positive": (_Piece(_ZERO, False, _TOP, False),),
    "nonnegative": (_Piece(_ZERO, True, _TOP, False),),
    "negative": (_Piece(_BOTTOM, False, _ZERO, False),),
}


def may_be_sets(gold: str, prediction: str) -> bool:
    """One of two normalised answers is written as a set of reals is; cheap."""
    return _SIGNAL.search(gold) is not None or _SIGNAL.search(prediction) is not None


def same_set(
    gold: str, prediction: str, in_any_order: Callable[[Sequence[str], Sequence[str]], bool | None]
) -> bool | None:
    """Whether two normalised answers are the same set. Raises `Unreadable` where one is no set of reals. What has end
    points without a value is left to `in_any_order`, as texts of intervals."""
    if _orders_names(gold) and _orders_names(prediction):
        raise Unreadable
    with localcontext(CONTEXT):
        mine, yours = _read(gold, _MAX_DEPTH), _read(prediction, _MAX_DEPTH)
        if mine.name is not None and yours.name is not None and mine.name != yours.name:
            return False
        try:
            first, second = _canonical(mine.pieces), _canonical(yours.pieces)
        except Unreadable:
            return in_any_order([str(piece) for piece in mine.pieces], [str(piece) for piece in yours.pieces])
        return len(first) == len(second) and all(map(_same_piece, first, second))


def _orders_names(text: str) -> bool:
    """`a < b < c`, which speaks of no one of them."""
    node = read(text)
    return node.kind == "relation" and all(map(_NAME.fullmatch, node.parts))


# --- reading ----------------------------------------------------------------------------------------------------------


def _read(text: str, depth: int) -> _Set:  # noqa: PLR0911 - one way of writing each
    text = text.strip()
    if not depth or not text:
        raise Unreadable
    if (listed := _list(text, depth)) is not None:
        return listed
    if len(signs := signs_apart(text)) > 1 and "\\ne" in text:
        return _joined([_read(sign, depth - 1) for sign in signs], _common)
    node = read(text)
    if node.kind == "relation":
        return _relation(node.parts, node.marks, depth)
    for operator, combined in (("\\cup", _union), ("\\cap", _common), ("\\setminus", _without)):
        parts = split(text, operator)
        if len(parts) > 1:
            return _joined([_read(part, depth - 1) for part in parts], combined)
    if text.startswith("\\{") and text.endswith("\\}"):
        return _in_braces(text[2:-2], depth)
    if reals := _REALS.match(text):
        return _reals(reals, text[reals.end() :], depth)
    if "real" in text and (words := _ALL_REALS.fullmatch(_TEXT.sub(r" \1 ", text).replace("  ", " ").strip())):
        excluded = [_point(part.rpartition("=")[2]) for part in split(words[2], ",")] if words[2] else []
        half = _HALVES[words[1].lower().replace("-", "")] if words[1] else _LINE
        return _Set(None, _without(half, tuple(excluded)))
    if text == "\\emptyset":
        return _Set(None, ())
    return _Set(None, (_interval(text),))


def _list(text: str, depth: int) -> _Set | None:
    """Conditions joined by words or commas; None where the text is no such list."""
    for separator, combined in (("\\lor", _union), (";", _both_or_either), (",", _both_or_either), ("\\land", _common)):
        parts = split(text, separator)
        if len(parts) == 1:
            continue
        node = read(parts[0])
        if node.kind == "relation" and node.marks == ("\\ne",) and not any(map(_SIGNAL.search, parts[1:])):
            parts = [parts[0], *(f"{node.parts[0]}\\ne {part}" for part in parts[1:])]  # x ≠ 1, 2
        if len(parts) > _MAX_PIECES:
            raise Unreadable
        return _joined([_condition(part, depth - 1) for part in parts], combined)
    return None


def _condition(text: str, depth: int) -> _Set:
    node = read(text)
    if node.kind == "relation" and node.marks == ("=",) and _NAME.fullmatch(node.parts[0]):
        return _Set(node.parts[0], tuple(_point(part) for part in signs_apart(node.parts[1])))
    if node.kind not in ("relation", "list", "leaf"):
        raise Unreadable  # tuples beside each other are points
    return _read(text, depth)


def _in_braces(inside: str, depth: int) -> _Set:
    for separator in ("\\mid", "|", ":"):
        head, found, condition = inside.partition(separator)
        if found and (name := re.fullmatch(rf"({_NAME.pattern})(?:\\in\s?\\mathbb\{{R\}})?", head.strip())):
            inner = _condition(condition, depth - 1)
            if inner.name is not None and inner.name != name[1]:
                raise Unreadable
            return _Set(None, inner.pieces)
    parts = split(inside, ",")
    if len(parts) > _MAX_PIECES or not all(parts):
        raise Unreadable
    return _Set(None, tuple(_point(sign) for part in parts for sign in signs_apart(part)))


def _relation(parts: Sequence[str], marks: Sequence[str], depth: int) -> _Set:
    if len(marks) == 1 and marks[0] in ("\\in", "\\notin", "\\ne"):
        if not _NAME.fullmatch(parts[0]):
            raise Unreadable
        if marks[0] == "\\ne":
            inner = tuple(_point(part) for part in signs_apart(parts[1]))
        else:
            inner = _read(parts[1], depth - 1).pieces
        return _Set(parts[0], inner if marks[0] == "\\in" else _without(_LINE, inner))
    if set(marks) <= {">", "\\ge"}:
        turned = {">": "<", "\\ge": "\\le"}
        parts, marks = tuple(reversed(parts)), tuple(turned[mark] for mark in reversed(marks))
    if not set(marks) <= {"<", "\\le"} or len(parts) > 3:
        raise Unreadable
    closed = [mark == "\\le" for mark in marks]
    names = [_NAME.fullmatch(part) is not None for part in parts]
    size = _SIZE.fullmatch(parts[1])
    if len(parts) == 3 and size:
        sides = [_of_size(size[1], parts[0], False, closed[0]), _of_size(size[1], parts[2], True, closed[1])]
        return _joined(sides, _common)
    if len(parts) == 3 and names[1]:
        return _Set(parts[1], (_Piece(_end(parts[0]), closed[0], _end(parts[2]), closed[1]),))
    if len(parts) == 3:
        raise Unreadable
    name, value = (parts[0], parts[1]) if names[0] else (parts[1], parts[0])
    below = names[0]
    if size := _SIZE.fullmatch(parts[0]) or size:
        return _of_size(size[1], parts[1] if parts[0] == size[0] else parts[0], parts[0] == size[0], closed[0])
    if not (names[0] or names[1]):
        raise Unreadable
    end = _end(value)
    return _Set(name, (_Piece(_BOTTOM, False, end, closed[0]) if below else _Piece(end, closed[0], _TOP, False),))


def _of_size(name: str, bound: str, below: bool, closed: bool) -> _Set:
    """|x| < 3, |x| > 3."""
    high, low = _end(bound), _end(f"-({bound})")
    if high.value is None or high.value < 0:
        raise Unreadable
    if below:
        return _Set(name, (_Piece(low, closed, high, closed),))
    return _Set(name, (_Piece(_BOTTOM, False, low, closed), _Piece(high, closed, _TOP, False)))


def _reals(reals: re.Match[str], rest: str, depth: int) -> _Set:
    sign = reals[1] or reals[2]
    half = {
        "+": _HALVES["positive"], ">": _HALVES["positive"], "\\ge": _HALVES["nonnegative"],
        "-": _HALVES["negative"], "<": _HALVES["negative"], "\\le": (_Piece(_BOTTOM, False, _ZERO, True),),
        "*": _without(_LINE, (_Piece(_ZERO, True, _ZERO, True),)),
    }  # fmt: skip
    pieces = half[sign] if sign else _LINE
    if not rest:
        return _Set(None, pieces)
    if rest.startswith("-\\{"):
        return _Set(None, _without(pieces, _read(rest[1:], depth - 1).pieces))
    raise Unreadable


def _interval(text: str) -> _Piece:
    match = _INTERVAL.fullmatch(text)
    ends = split(match[2], ",") if match else []
    if match is None or len(ends) != 2 or not all(ends):
        raise Unreadable
    return _Piece(_end(ends[0]), match[1] == "[", _end(ends[1]), match[3] == "]")


def _point(text: str) -> _Piece:
    end = _end(text)
    if end.value is not None and end.value.is_infinite():
        raise Unreadable
    return _Piece(end, True, end, True)


def _end(text: str) -> _End:
    bare = text.strip().lstrip("+")
    if bare in ("\\infty", "-\\infty"):
        return _TOP if bare == "\\infty" else _BOTTOM
    if not bare or _SIGNAL.search(bare) or "=" in bare or "\\text" in bare:
        raise Unreadable
    value = value_of(bare)
    return _End(bare, None if value is None else decimal(value))


# --- sets -------------------------------------------------------------------------------------------------------------

_Pieces = tuple[_Piece, ...]


def _joined(sets: Sequence[_Set], combined: Callable[[_Pieces, _Pieces], _Pieces]) -> _Set:
    names = {one.name for one in sets if one.name is not None}
    if len(names) > 1:
        raise Unreadable
    pieces = sets[0].pieces
    for one in sets[1:]:
        pieces = combined(pieces, one.pieces)
    return _Set(names.pop() if names else None, pieces)


def _union(first: _Pieces, second: _Pieces) -> _Pieces:
    if len(first) + len(second) > _MAX_PIECES:
        raise Unreadable
    return first + second


def _both_or_either(first: _Pieces, second: _Pieces) -> _Pieces:
    try:
        return _common(first, second) or _union(first, second)
    except Unreadable:
        return _union(first, second)


def _common(first: _Pieces, second: _Pieces) -> _Pieces:
    found = []
    for a in _canonical(first):
        for b in _canonical(second):
            low = max((a.low, a.low_in), (b.low, b.low_in), key=lambda end: (_value(end[0]), not end[1]))
            high = min((a.high, a.high_in), (b.high, b.high_in), key=lambda end: (_value(end[0]), end[1]))
            found.append(_Piece(low[0], low[1], high[0], high[1]))
    return _canonical(tuple(found))


def _without(first: _Pieces, second: _Pieces) -> _Pieces:
    if first == _LINE and len(second) == 1 and second[0].low == second[0].high:
        return _Piece(_BOTTOM, False, second[0].low, False), _Piece(second[0].high, False, _TOP, False)
    rest: list[_Piece] = []
    low, low_in = _BOTTOM, False
    for piece in _canonical(second):
        rest.append(_Piece(low, low_in, piece.low, not piece.low_in))
        low, low_in = piece.high, not piece.high_in
    return _common(first, (*rest, _Piece(low, low_in, _TOP, False)))


def _canonical(pieces: _Pieces) -> _Pieces:
    """Sorted, apart from each other, none empty. Raises `Unreadable` where an end has no value."""
    merged: list[_Piece] = []
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
        merged[-1] = _Piece(last.low, last.low_in, high, high_in or (further == 0 and piece.high_in))
    return tuple(merged)


def _value(end: _End) -> Decimal:
    if end.value is None:
        raise Unreadable
    return end.value


def _order(first: _End, second: _End) -> int:
    a, b = _value(first), _value(second)
    if a == b or (a.is_finite() and b.is_finite() and abs(a - b) <= _NEAR * max(abs(a), abs(b))):
        return 0
    return 1 if a > b else -1


def _same_piece(mine: _Piece, yours: _Piece) -> bool:
    return (
        (mine.low_in, mine.high_in) == (yours.low_in, yours.high_in)
        and _order(mine.low, yours.low) == 0
        and _order(mine.high, yours.high) == 0
    )
