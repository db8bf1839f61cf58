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
from decimal import localcontext

from rewright.service.mathematics.answers.arithmetic import value_of
from rewright.service.mathematics.answers.exact_values import CONTEXT, Unreadable, decimal
from rewright.service.mathematics.answers.real_pieces import (
    BOTTOM,
    HALVES,
    LINE,
    MAX_PIECES,
    TOP,
    ZERO,
    End,
    Piece,
    Pieces,
    both_or_either,
    canonical,
    common,
    same_piece,
    union,
    without,
)
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
_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class _Set:
    name: str | None
    pieces: tuple[Piece, ...]


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
            first, second = canonical(mine.pieces), canonical(yours.pieces)
        except Unreadable:
            return in_any_order([str(piece) for piece in mine.pieces], [str(piece) for piece in yours.pieces])
        return len(first) == len(second) and all(map(same_piece, first, second))


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
        return _joined([_read(sign, depth - 1) for sign in signs], common)
    node = read(text)
    if node.kind == "relation":
        return _relation(node.parts, node.marks, depth)
    for operator, combined in (("\\cup", union), ("\\cap", common), ("\\setminus", without)):
        parts = split(text, operator)
        if len(parts) > 1:
            return _joined([_read(part, depth - 1) for part in parts], combined)
    if text.startswith("\\{") and text.endswith("\\}"):
        return _in_braces(text[2:-2], depth)
    if reals := _REALS.match(text):
        return _reals(reals, text[reals.end() :], depth)
    if "real" in text and (words := _ALL_REALS.fullmatch(_TEXT.sub(r" \1 ", text).replace("  ", " ").strip())):
        excluded = [_point(part.rpartition("=")[2]) for part in split(words[2], ",")] if words[2] else []
        half = HALVES[words[1].lower().replace("-", "")] if words[1] else LINE
        return _Set(None, without(half, tuple(excluded)))
    if text == "\\emptyset":
        return _Set(None, ())
    return _Set(None, (_interval(text),))


def _list(text: str, depth: int) -> _Set | None:
    """Conditions joined by words or commas; None where the text is no such list."""
    for separator, combined in (("\\lor", union), (";", both_or_either), (",", both_or_either), ("\\land", common)):
        parts = split(text, separator)
        if len(parts) == 1:
            continue
        node = read(parts[0])
        if node.kind == "relation" and node.marks == ("\\ne",) and not any(map(_SIGNAL.search, parts[1:])):
            parts = [parts[0], *(f"{node.parts[0]}\\ne {part}" for part in parts[1:])]  # x ≠ 1, 2
        if len(parts) > MAX_PIECES:
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
    if len(parts) > MAX_PIECES or not all(parts):
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
        return _Set(parts[0], inner if marks[0] == "\\in" else without(LINE, inner))
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
        return _joined(sides, common)
    if len(parts) == 3 and names[1]:
        return _Set(parts[1], (Piece(_end(parts[0]), closed[0], _end(parts[2]), closed[1]),))
    if len(parts) == 3:
        raise Unreadable
    name, value = (parts[0], parts[1]) if names[0] else (parts[1], parts[0])
    below = names[0]
    if size := _SIZE.fullmatch(parts[0]) or size:
        return _of_size(size[1], parts[1] if parts[0] == size[0] else parts[0], parts[0] == size[0], closed[0])
    if not (names[0] or names[1]):
        raise Unreadable
    end = _end(value)
    return _Set(name, (Piece(BOTTOM, False, end, closed[0]) if below else Piece(end, closed[0], TOP, False),))


def _of_size(name: str, bound: str, below: bool, closed: bool) -> _Set:
    """|x| < 3, |x| > 3."""
    high, low = _end(bound), _end(f"-({bound})")
    if high.value is None or high.value < 0:
        raise Unreadable
    if below:
        return _Set(name, (Piece(low, closed, high, closed),))
    return _Set(name, (Piece(BOTTOM, False, low, closed), Piece(high, closed, TOP, False)))


def _reals(reals: re.Match[str], rest: str, depth: int) -> _Set:
    sign = reals[1] or reals[2]
    half = {
        "+": HALVES["positive"], ">": HALVES["positive"], "\\ge": HALVES["nonnegative"],
        "-": HALVES["negative"], "<": HALVES["negative"], "\\le": (Piece(BOTTOM, False, ZERO, True),),
        "*": without(LINE, (Piece(ZERO, True, ZERO, True),)),
    }  # fmt: skip
    pieces = half[sign] if sign else LINE
    if not rest:
        return _Set(None, pieces)
    if rest.startswith("-\\{"):
        return _Set(None, without(pieces, _read(rest[1:], depth - 1).pieces))
    raise Unreadable


def _interval(text: str) -> Piece:
    match = _INTERVAL.fullmatch(text)
    ends = split(match[2], ",") if match else []
    if match is None or len(ends) != 2 or not all(ends):
        raise Unreadable
    return Piece(_end(ends[0]), match[1] == "[", _end(ends[1]), match[3] == "]")


def _point(text: str) -> Piece:
    end = _end(text)
    if end.value is not None and end.value.is_infinite():
        raise Unreadable
    return Piece(end, True, end, True)


def _end(text: str) -> End:
    bare = text.strip().lstrip("+")
    if bare in ("\\infty", "-\\infty"):
        return TOP if bare == "\\infty" else BOTTOM
    if not bare or _SIGNAL.search(bare) or "=" in bare or "\\text" in bare:
        raise Unreadable
    value = value_of(bare)
    return End(bare, None if value is None else decimal(value))


def _joined(sets: Sequence[_Set], combined: Callable[[Pieces, Pieces], Pieces]) -> _Set:
    names = {one.name for one in sets if one.name is not None}
    if len(names) > 1:
        raise Unreadable
    pieces = sets[0].pieces
    for one in sets[1:]:
        pieces = combined(pieces, one.pieces)
    return _Set(names.pop() if names else None, pieces)
