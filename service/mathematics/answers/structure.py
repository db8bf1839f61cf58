"""The shape of an answer: which of its parts must equal which, before anything is computed.

Kinds
    list       a, b, c or {a, b, c}, a or b, a ± b: order does not matter, repetition does; the rows of cases
    tuple      (a, b) or [a, b): order and both brackets matter; an interval is written alike
    union      of intervals
    matrix     rows of cells
    relation   a chain a = b, a < b ≤ c …
    leaf       everything else

Splitting is by brackets and separators at depth 0, in one pass.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Kind = Literal["list", "tuple", "union", "matrix", "relation", "leaf"]

_RELATING = re.compile(r"\\(?:le|ge|ne|in|notin|approx|equiv)(?![^\W\d_])|[=<>]|\\begin|\\end|[(\[{)\]}]")
_BRACKET = re.compile(r"[(\[{)\]}]")
_MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)
_CASES = re.compile(r"\\begin\{cases\}((?:(?!\\begin|\\end).)*)\\end\{cases\}", re.DOTALL)
_CONDITION = re.compile(r"^\\text\{,?\s*(?:if|for|when|where)\s*\}|[.,;]$")
_PADDED = re.compile(r"0[0-9]+")
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class Node:
    """`marks`: the brackets of a tuple or a set, the operators of a relation."""

    kind: Kind
    text: str
    parts: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()


def read(text: str, layers: int = 8) -> Node:  # noqa: PLR0911 - one kind each
    """The outermost shape of a normalised answer. Past `layers` of brackets around one thing it is a leaf."""
    for separator in (";", ",", "\\lor"):
        items = split(text, separator)
        # 10,000 and 10,0000 are numbers, well written or not; no list has a member 000.
        if len(items) > 1 and all(items) and not any(_PADDED.fullmatch(item) for item in items[1:]):
            return Node("list", text, tuple(_members(items)))
    if len(signs := signs_apart(text)) > 1 and not text.startswith("\\{"):
        return Node("list", text, signs)
    relation = _relation(text)
    if relation is not None:
        return relation
    items = split(text, "\\cup")
    if len(items) > 1 and all(items):
        return Node("union", text, tuple(items))
    if text.startswith("\\{") and text.endswith("\\}") and _encloses(text, 1, 2):
        items = split(text[2:-2], ";" if len(split(text[2:-2], ";")) > 1 else ",")
        whole = len(items) > 1 and all(items)
        return Node("list", text, tuple(_members(items if whole else [text[2:-2]])), ("{", "}"))
    if text[:1] in "([" and text[-1:] in ")]" and len(text) > 2 and _encloses(text, 0, 1):
        items = split(text[1:-1], ",")
        if len(items) > 1 and all(items):
            return Node("tuple", text, tuple(items), (text[0], text[-1]))
        # One thing in brackets is that thing.
        return read(text[1:-1], layers - 1) if layers else Node("leaf", text)
    matrix = _MATRIX.fullmatch(text)
    if matrix and "\\begin" not in matrix[1]:
        cells = [row.split("&") for row in _rows(matrix[1])]
        return Node(
            "matrix", text, tuple(cell.strip() for row in cells for cell in row), tuple(str(len(row)) for row in cells)
        )
    if cases := _CASES.fullmatch(text):
        return Node("list", text, tuple(_case(row) for row in _rows(cases[1])), ("cases",))
    return Node("leaf", text)


def signs_apart(text: str) -> tuple[str, ...]:
    """`a \\pm b` as its two values; every other text alone. Several signs ± are independent of each other, and left as
    they are, unless ∓ says that they go together."""
    if "\\pm" not in text or (text.count("\\pm") > 1 and "\\mp" not in text):
        return (text,)
    plus = text.replace("\\pm", "+").replace("\\mp", "-").lstrip("+")
    return plus, text.replace("\\pm", "-").replace("\\mp", "+").lstrip("+")


def _members(items: list[str]) -> list[str]:
    """Members of a list with those that are two by a sign ± or by `or` apart."""
    apart = [part for item in items for part in (split(item, "\\lor") if "\\lor" in item else (item,))]
    if not all(apart):
        apart = items
    return [sign for item in apart for sign in (signs_apart(item) if "\\pm" in item else (item,))]


def _rows(text: str) -> list[str]:
    return [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", text) if row.strip()]


def _case(row: str) -> str:
    """Value and condition of a row of cases as a tuple; an equation alone as it is."""
    value, found, condition = row.partition("&")
    value, condition = value.strip().rstrip(",;"), _CONDITION.sub("", condition.strip())
    return f"({value},{condition})" if found and condition else (value + condition)


def split(text: str, separator: str) -> list[str]:
    """The parts of `text` between separators outside all brackets. (a, b] is balanced: any bracket closes any."""
    if separator not in text:
        return [text.strip()]
    parts, depth, start = [], 0, 0
    for match in _splitting(separator).finditer(text):
        mark = match[0]
        if mark == separator:
            if depth == 0:
                parts.append(text[start : match.start()].strip())
                start = match.end()
        elif mark in _OPEN or mark == "\\begin":
            depth += 1
        elif mark == "\\end":
            depth -= 1
        elif mark in _CLOSE:
            depth = max(0, depth - 1)
    parts.append(text[start:].strip())
    return parts


@lru_cache(maxsize=8)
def _splitting(separator: str) -> re.Pattern[str]:
    """What matters to `split`: the separator, what opens and closes, and a new row, whose backslashes start nothing."""
    return re.compile(rf"{re.escape(separator)}|\\\\|\\begin|\\end|[(\[{{)\]}}]")


def _encloses(text: str, first: int, width: int) -> bool:
    """The bracket that opens at `first` closes with the last character of `text`."""
    depth = 0
    for match in _BRACKET.finditer(text, first):
        depth += 1 if match[0] in _OPEN else -1
        if depth == 0:
            return match.start() == len(text) - 1
    return False


def _relation(text: str) -> Node | None:
    operands, marks, depth, start = [], [], 0, 0
    for match in _RELATING.finditer(text):
        mark = match[0]
        if mark in _OPEN or mark == "\\begin":
            depth += 1
        elif mark in _CLOSE or mark == "\\end":
            depth = max(0, depth - 1)
        elif depth == 0:
            operands.append(text[start : match.start()].strip())
            marks.append(mark)
            start = match.end()
    operands.append(text[start:].strip())
    return Node("relation", text, tuple(operands), tuple(marks)) if marks and all(operands) else None
