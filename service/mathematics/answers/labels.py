r"""Values with names: `x = 3, y = -1`, `(x, y) = (3, -1)`, `\text{Ann: } 5, \text{Ben: } 7`.

Policy: named values are compared by name. Bare values beside named ones are in the order in which the names are
written; a tuple beside single letters is in the order of the alphabet, since (x, y) is. Names that are words and end
in a colon are part of the answer. One name with several values (`a = 2, a = 3`) is the list of its values.
"""

import re
from collections.abc import Sequence

from rewright.service.mathematics.answers.structure import Node, read, split

_NO_NAME = r"\\(?:pi|infty|ln|lg|log|exp|(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|max|min|gcd|det)(?![A-Za-z])"
NAME = re.compile(
    rf"(?:(?!{_NO_NAME})\\?[A-Za-z]+|\\text\{{[^{{}}]*\}})"
    r"(?:_(?:\w|\{[^{}]*\}))?'*(?:\([A-Za-z0-9]+(?:,[A-Za-z0-9]+)*\))?"
    r"|\([A-Za-z](?:,[A-Za-z])+\)|[A-Z]{1,4}(?:_\{?\w+\}?)?(?:[:/][A-Z]{1,4}(?:_\{?\w+\}?)?)?"
    r"|[a-z](?::[a-z])+|S_\{\w+\}:S|\|[A-Za-z]\||[A-Za-z ]+"
)
_COLON = re.compile(r"\\text\{([A-Za-z][A-Za-z ]*):\}(.+)|([A-Za-z]{2}[A-Za-z ]*):(.+)", re.DOTALL)
_BRACED_INDEX = re.compile(r"_\{(\w)\}")
_MOST = 64


def named_values(node: Node) -> list[tuple[str, str]] | None:
    """Names and values of an answer all of whose parts are named, as written; None for every other."""
    if node.kind == "relation":
        return _of_tuples(node)
    if node.kind != "list" or node.marks or not 2 <= len(node.parts) <= _MOST:
        return None
    named = [_named(part) for part in node.parts]
    whole = [pair for pair in named if pair is not None]
    return whole if len(whole) == len(named) else None


def in_order_of(names: Sequence[tuple[str, str]], bare: Node) -> list[str] | None:
    """The named values in the order in which bare ones beside them stand; None where nothing tells the order."""
    if any(name.endswith(":") for name, _ in names):
        return None
    if bare.kind == "tuple" and bare.marks == ("(", ")"):
        letters = all(len(name) == 1 for name, _ in names)
        return [value for _, value in (sorted(names) if letters else names)]
    return [value for _, value in names] if bare.kind == "list" and not bare.marks else None


def without_one_name(node: Node) -> tuple[str | None, Node]:
    """`a = 2, a = 3` and `a = 2, 3` as their values, and the name; every other node as it is, without a name."""
    if node.kind != "list" or len(node.parts) > _MOST or "=" not in node.text:
        return None, node
    named = [_named(part) for part in node.parts]
    names = {pair[0] for pair in named if pair is not None}
    if len(names) != 1 or any(pair is None and "=" in part for pair, part in zip(named, node.parts, strict=True)):
        return None, node
    values = tuple(pair[1] if pair else part for pair, part in zip(named, node.parts, strict=True))
    return names.pop(), Node("list", node.text, values, node.marks)


def _named(part: str) -> tuple[str, str] | None:
    if colon := _COLON.fullmatch(part):
        return (f"{colon[1]}:", colon[2]) if colon[1] else (f"{colon[3]}:", colon[4])
    sides = split(part, "=")
    if len(sides) >= 2 and all(sides) and NAME.fullmatch(sides[0]) and (relation := read(part)).kind == "relation":
        return (
            (_BRACED_INDEX.sub(r"_\1", sides[0]), sides[-1])
            if set(relation.marks) == {"="} and len(sides) == 2
            else None
        )
    return None


def _of_tuples(node: Node) -> list[tuple[str, str]] | None:
    """`(x, y) = (3, -1)`."""
    if node.marks != ("=",):
        return None
    names, values = read(node.parts[0]), read(node.parts[1])
    if names.kind != "tuple" or values.kind != "tuple" or len(names.parts) != len(values.parts):
        return None
    if not all(re.fullmatch(r"[A-Za-z](?:_\w)?", name) for name in names.parts) or values.marks != ("(", ")"):
        return None
    return list(zip(names.parts, values.parts, strict=True))
