r"""Are two final answers equal? True, False, or None where only algebra can tell.

`compare` walks the shapes of both answers and asks `leaf` about pairs of parts; `cheap_leaf` is the leaf that needs no
algebra (the parent's), the worker's leaf asks `cheap_leaf` first and computes then.

Policy
- `x = 3` equals `3` when the left side is a name; `x = 3` and `y = 3` differ. A gold answer that is an
  expression equals a candidate's `y = expression`; a gold equation does not equal one of its sides
  (policy:equation-vs-expression).
- `a < x < b` equals the interval (a, b), end points included as written (policy:relation-vs-interval).
- Several boxes are one list (policy:multi-boxed). A list equals the same list in any order, a set in braces, and a
  tuple of the same order; a tuple equals nothing else, a set in braces no tuple.
- A chain `a = b = c` stands for its value only where its parts without letters all equal it; of `a \approx b` either
  side counts.
- A comma is never a decimal point (policy:decimal-comma).
- Letters keep their case; words do not. Primes and number bases must agree.
"""

import re
from collections.abc import Callable, Sequence

from rewright.service.mathematics.answers.arithmetic import same_value
from rewright.service.mathematics.answers.normalisation import is_words, split_unit
from rewright.service.mathematics.answers.notation import COMMAND, marks_differ
from rewright.service.mathematics.answers.numbers import numbers_equal, read_number
from rewright.service.mathematics.answers.structure import Node, read, split

Leaf = Callable[[str, str], bool | None]
MAX_PARTS = 64
_DIGITS = re.compile(r"[0-9]{1,400}")
_MAX_DEPTH = 12

_NAME = re.compile(
    r"(?:\\?[A-Za-z]+|\\text\{[^{}]*\})(?:_(?:\w|\{[^{}]*\}))?'*(?:\([A-Za-z0-9]+(?:,[A-Za-z0-9]+)*\))?"
    r"|\([A-Za-z](?:,[A-Za-z])+\)|[A-Z]{1,4}(?:_\{?\w+\}?)?(?:[:/][A-Z]{1,4}(?:_\{?\w+\}?)?)?"
    r"|S_\{\w+\}:S|\|[A-Za-z]\||[A-Za-z ]+"
)
_BASED = re.compile(r"\(?([0-9A-Za-z]+)\)?_(?:\{(?:\\text\{)?(\d+|[a-z]+)\}?\}|(\d+))")
_BASE_TEN = re.compile(r"^\(?([0-9]+)\)?_(?:\{(?:10|\\text\{ten\})\}|10)$")
_BASES = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "eleven": "11", "twelve": "12", "sixteen": "16",
}  # fmt: skip
_ARTICLE = re.compile(r"^(?:an?|the) ")
_SYMBOL = re.compile(r"[A-Za-z]|\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega|sigma)")
_ROMAN = re.compile(r"[IVXLCDM]{2,}")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def compare(gold: str, prediction: str, leaf: Leaf, depth: int = 0) -> bool | None:  # noqa: PLR0911 - a shape each
    """Both texts normalised. `leaf` decides parts without inner structure."""
    if gold == prediction and gold:
        return True
    if depth > _MAX_DEPTH:
        return False
    certain = cheap_leaf(gold, prediction)
    if certain is not None:
        return certain
    ours, theirs = read(gold), read(prediction)
    if ours.kind == "relation" or theirs.kind == "relation":
        return _relations(ours, theirs, leaf, depth)
    if ours.kind == "leaf" and theirs.kind == "leaf":
        return _leaves(ours.text, theirs.text, leaf)
    if ours.kind == "list" and len(ours.parts) == 1 and theirs.kind == "leaf":
        return compare(ours.parts[0], theirs.text, leaf, depth + 1)
    if {ours.kind, theirs.kind} == {"list", "tuple"}:
        # 3, 2 for (3, 2): the order is the tuple's.
        the_tuple = ours if ours.kind == "tuple" else theirs
        the_list = theirs if ours.kind == "tuple" else ours
        if the_tuple.marks != ("(", ")") or the_list.marks:
            return False
        return _in_order(ours.parts, theirs.parts, leaf, depth)
    if {ours.kind, theirs.kind} == {"list", "union"}:
        ours, theirs = _as_union(ours), _as_union(theirs)
    if ours.kind != theirs.kind:
        # A sum of matrices is a leaf that may equal a matrix; nothing else changes its kind.
        return leaf(gold, prediction) if {ours.kind, theirs.kind} == {"matrix", "leaf"} else False
    if ours.kind in ("list", "union"):
        return _in_any_order(_distinct(ours.parts), _distinct(theirs.parts), leaf, depth)
    if len(ours.parts) != len(theirs.parts):
        return False
    return ours.marks == theirs.marks and _in_order(ours.parts, theirs.parts, leaf, depth)


def cheap_leaf(gold: str, prediction: str) -> bool | None:  # noqa: PLR0911 - one certainty each
    """What is certain about two parts without algebra."""
    if gold == prediction:
        return True
    if _DIGITS.fullmatch(gold) and _DIGITS.fullmatch(prediction):
        return int(gold) == int(prediction)
    (value, unit), (their_value, their_unit) = split_unit(gold), split_unit(prediction)
    if unit is not None and their_unit is not None and unit != their_unit:
        return False
    mine, yours = read_number(value), read_number(their_value)
    if (unit is not None and yours is not None and yours.percent) or (
        their_unit is not None and mine is not None and mine.percent
    ):
        return False
    if mine is not None and yours is not None:
        return numbers_equal(mine, yours)
    if is_words(gold) and is_words(prediction):
        return _without_article(gold) == _without_article(prediction)
    value, their_value = _BASE_TEN.sub(r"\1", value), _BASE_TEN.sub(r"\1", their_value)
    if value == their_value:
        return True
    based, their_based = _BASED.fullmatch(value), _BASED.fullmatch(their_value)
    if (based and based[1][0].isdigit()) or (their_based and their_based[1][0].isdigit()):
        return bool(based and their_based and _digits_and_base(based) == _digits_and_base(their_based))
    if _ROMAN.fullmatch(gold) and _ROMAN.fullmatch(prediction):
        return False
    return False if marks_differ(gold, prediction) else None


def arithmetic_leaf(gold: str, prediction: str) -> bool | None:
    """What is certain about two parts without algebra but with arithmetic: the parent's leaf."""
    certain = cheap_leaf(gold, prediction)
    return same_value(split_unit(gold)[0], split_unit(prediction)[0]) if certain is None else certain


def _digits_and_base(match: re.Match[str]) -> tuple[str, str]:
    base: str = match[2] or match[3]
    return match[1].lower(), _BASES.get(base, base)


def _without_article(words: str) -> str:
    return _ARTICLE.sub("", words.casefold())


def _leaves(gold: str, prediction: str, leaf: Leaf) -> bool | None:
    value, their_value = split_unit(gold)[0], split_unit(prediction)[0]
    ratio, their_ratio = split(value, ":"), split(their_value, ":")
    if {len(ratio), len(their_ratio)} == {1, 2}:
        # 2:3 is 2/3; a quotient is written out on both sides then.
        ratio, their_ratio = (parts if len(parts) == 2 else [parts[0], "1"] for parts in (ratio, their_ratio))
    if len(ratio) == len(their_ratio) == 2:
        return leaf(f"\\frac{{{ratio[0]}}}{{{ratio[1]}}}", f"\\frac{{{their_ratio[0]}}}{{{their_ratio[1]}}}")
    if len(ratio) != len(their_ratio):
        return False
    return leaf(value, their_value)


def _relations(gold: Node, prediction: Node, leaf: Leaf, depth: int) -> bool | None:
    if gold.kind == "relation" and prediction.kind == "relation":
        return _two_relations(gold, prediction, leaf, depth)
    relation, other = (gold, prediction) if gold.kind == "relation" else (prediction, gold)
    swapped = relation is prediction

    def against(part: str) -> bool | None:
        return compare(other.text, part, leaf, depth + 1) if swapped else compare(part, other.text, leaf, depth + 1)

    if set(relation.marks) <= {"=", "\\in", "\\approx", "\\equiv"}:
        named = _NAME.fullmatch(relation.parts[0]) is not None
        # A candidate may compute (10^3 = 1000); a gold equation is more than its right side unless it names it.
        if not (named or swapped):
            return False
        return _chain(relation, against, named)
    interval = as_interval(relation)
    return against(interval) if interval is not None and other.kind in ("tuple", "union") else False


def _chain(relation: Node, against: Callable[[str], bool | None], named: bool) -> bool | None:
    """Does `name = … = value` stand for the other answer? Every part without letters must, and the last one."""
    parts = relation.parts[1:] if named else relation.parts
    if "\\approx" in relation.marks:
        ends = [parts[0], parts[-1]]
        values = [number.value for number in map(read_number, ends) if number is not None]
        if len(values) == 2 and abs(values[0] - values[1]) * 20 > abs(values[0]):
            return False
        verdicts = [against(part) for part in ends]
        return True if True in verdicts else None if None in verdicts else False
    distinct = list(dict.fromkeys(parts))
    if len(distinct) > MAX_PARTS:
        return False
    verdicts = [
        against(part)
        for part in distinct
        if part == parts[-1] or not (_SYMBOL.search(COMMAND.sub(" ", part)) or "mod" in part)
    ]
    return False if False in verdicts else None if None in verdicts else True


def _two_relations(gold: Node, prediction: Node, leaf: Leaf, depth: int) -> bool | None:  # noqa: PLR0911
    if set(gold.marks) == set(prediction.marks) == {"="}:
        mine, yours = _assigned(gold), _assigned(prediction)
        if mine is not None and yours is not None:
            return mine[0] == yours[0] and compare(mine[1], yours[1], leaf, depth + 1)
        if len(gold.parts) > 2 and len(prediction.parts) > 2:
            return _in_order(gold.parts, prediction.parts, leaf, depth)
        return leaf(gold.text, prediction.text)
    if "=" in gold.marks or "=" in prediction.marks:
        # `k = 3 < 5` and its kin: only the same chain is the same.
        return gold.marks == prediction.marks and _in_order(gold.parts, prediction.parts, leaf, depth)
    if len(gold.marks) == len(prediction.marks) == 1 and gold.marks[0] in _FLIPPED and prediction.marks[0] in _FLIPPED:
        turned = _turned(prediction)
        for chain in (prediction, turned):
            if chain.marks == gold.marks and _in_order(gold.parts, chain.parts, leaf, depth):
                return True
        return leaf(gold.text, prediction.text)
    chains = [chain for chain in (prediction, _turned(prediction)) if chain.marks == gold.marks]
    verdicts = [_in_order(gold.parts, chain.parts, leaf, depth) for chain in chains]
    return True if True in verdicts else None if None in verdicts else False


def _assigned(relation: Node) -> tuple[str, str] | None:
    """Name and value of `name = … = value` or `value = name`."""
    if _NAME.fullmatch(relation.parts[0]):
        return relation.parts[0], relation.parts[-1]
    if len(relation.parts) == 2 and _NAME.fullmatch(relation.parts[1]):
        return relation.parts[1], relation.parts[0]
    return None


def _turned(relation: Node) -> Node:
    marks = tuple(_FLIPPED.get(mark, mark) for mark in reversed(relation.marks))
    return Node("relation", relation.text, tuple(reversed(relation.parts)), marks)


def as_interval(relation: Node) -> str | None:
    """The interval of `a < x <= b`, `x > a` and their kin over one name; None for other chains."""
    chain = relation if set(relation.marks) <= {"<", "\\le"} else _turned(relation)
    if not set(chain.marks) <= {"<", "\\le"}:
        return None
    brackets = {"<": "()", "\\le": "[]"}
    name = re.compile(r"[A-Za-z](?:\([A-Za-z]\))?")
    if len(chain.parts) == 3 and name.fullmatch(chain.parts[1]):
        return f"{brackets[chain.marks[0]][0]}{chain.parts[0]},{chain.parts[2]}{brackets[chain.marks[1]][1]}"
    if len(chain.parts) == 2 and name.fullmatch(chain.parts[0]):
        return f"(-\\infty,{chain.parts[1]}{brackets[chain.marks[0]][1]}"
    if len(chain.parts) == 2 and name.fullmatch(chain.parts[1]):
        return f"{brackets[chain.marks[0]][0]}{chain.parts[0]},\\infty)"
    return None


def _as_union(node: Node) -> Node:
    """x < 1, x > 3 as a union of intervals; every other node as it is."""
    intervals = [as_interval(part) for part in map(read, node.parts) if part.kind == "relation"]
    whole = tuple(interval for interval in intervals if interval is not None)
    return Node("union", node.text, whole) if len(whole) == len(node.parts) else node


def _in_order(gold: Sequence[str], prediction: Sequence[str], leaf: Leaf, depth: int) -> bool | None:
    if len(gold) != len(prediction):
        return False
    if len(gold) > MAX_PARTS:
        return all(mine == yours for mine, yours in zip(gold, prediction, strict=True))
    unsure = False
    for mine, yours in zip(gold, prediction, strict=True):
        verdict = compare(mine, yours, leaf, depth + 1)
        if verdict is False:
            return False
        unsure = unsure or verdict is None
    return None if unsure else True


def _distinct(parts: Sequence[str]) -> Sequence[str]:
    """Solutions written as tuples are a set, where a repetition adds nothing; numbers count as often as written."""
    return list(dict.fromkeys(parts)) if all(part.startswith("(") for part in parts) else parts


def _in_any_order(gold: Sequence[str], prediction: Sequence[str], leaf: Leaf, depth: int) -> bool | None:
    """Every part of one equals its own part of the other. Equality is transitive, so that taking the first fit is right
    as long as every verdict is certain."""
    if len(gold) != len(prediction):
        return False
    if len(gold) > MAX_PARTS:
        return sorted(gold) == sorted(prediction)
    left = list(prediction)
    unsure = False
    for mine in gold:
        if mine in left:
            left.remove(mine)
            continue
        verdicts = [compare(mine, yours, leaf, depth + 1) for yours in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            unsure = True
        else:
            return False
    return None if unsure else True
