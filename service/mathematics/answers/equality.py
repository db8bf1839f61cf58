r"""Are two final answers equal? True, False, or None where only algebra can tell.

`compare` walks the shapes of both answers and asks `leaf` about pairs of parts (`cheap_leaf`, the parent's
`arithmetic_leaf`, the worker's, which asks those first and computes then).

Policy
- `x = 3` equals `3` when the left side is a name; `x = 3` and `y = 3` differ. A gold answer that is an
  expression equals a candidate's `y = expression`; a gold equation does not equal one of its sides
  (policy:equation-vs-expression).
- Several boxes are one list (policy:multi-boxed). A list equals the same list in any order, a set in braces, and a
  tuple of the same order; a tuple equals nothing else, a set in braces no tuple.
- A chain `a = b = c` stands for its value only where its parts without letters all equal it.
- Of `a \approx b` only the exact end counts, and only where the other is its rounding.
- A comma is never a decimal point (policy:decimal-comma).

Sets of reals, names of values, bound names and ratios have modules, and policies, of their own.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence

from rewright.service.mathematics.answers.bound_names import may_bind, with_names_of
from rewright.service.mathematics.answers.exact_values import Unreadable
from rewright.service.mathematics.answers.labels import NAME, in_order_of, named_values, without_one_name
from rewright.service.mathematics.answers.leaves import ROUNDED, Leaf, cheap_leaf, words_differ
from rewright.service.mathematics.answers.notation import COMMAND
from rewright.service.mathematics.answers.numbers import read_number
from rewright.service.mathematics.answers.ratios import ratios, same_ratio
from rewright.service.mathematics.answers.real_sets import may_be_sets, same_set
from rewright.service.mathematics.answers.structure import Node, read, split
from rewright.service.mathematics.answers.units import same_unit

MAX_PARTS = 64
_MAX_DEPTH = 12

_SYMBOL = re.compile(r"[A-Za-z]|\\(?:alpha|beta|gamma|theta|lambda|mu|phi|omega|sigma)")
_BRACED_INDEX = re.compile(r"_\{(\w)\}")
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}


def compare(gold: str, prediction: str, leaf: Leaf, depth: int = 0) -> bool | None:
    """Both texts normalised. `leaf` decides parts without inner structure."""
    if gold == prediction and gold:
        return True
    if depth > _MAX_DEPTH:
        return False
    certain = cheap_leaf(gold, prediction)
    if certain is not None:
        return certain
    if may_bind(gold, prediction):
        gold, prediction = with_names_of(gold, prediction)
        if gold == prediction:
            return True
    if may_be_sets(gold, prediction):
        with contextlib.suppress(Unreadable):
            return same_set(gold, prediction, lambda mine, yours: _in_any_order(mine, yours, leaf, depth))
    return _shapes(read(gold), read(prediction), leaf, depth)


def _shapes(ours: Node, theirs: Node, leaf: Leaf, depth: int) -> bool | None:  # noqa: PLR0911 - a shape each
    if _is_rounded(ours) or _is_rounded(theirs):
        return _approximated(ours, theirs, leaf, depth)
    with contextlib.suppress(LookupError):
        return _named(ours, theirs, leaf, depth)
    (name, ours), (their_name, theirs) = without_one_name(ours), without_one_name(theirs)
    if name is not None and their_name is not None and name != their_name:
        return False
    if ours.kind == "relation" or theirs.kind == "relation":
        return _relations(ours, theirs, leaf, depth)
    if ours.kind == "leaf" and theirs.kind == "leaf":
        return _leaves(ours.text, theirs.text, leaf)
    if ours.kind == "list" and len(ours.parts) == 1 and theirs.kind == "leaf":
        return compare(ours.parts[0], theirs.text, leaf, depth + 1)
    if theirs.kind == "list" and ours.kind == "leaf" and "\\lor" in theirs.text and "," not in theirs.text:
        # Two spellings of one value (`3/4 or 0.75`), or two values.
        return _all(compare(ours.text, part, leaf, depth + 1) for part in theirs.parts[:MAX_PARTS])
    if ours.kind == "list" and theirs.kind == "leaf" and "\\lor" in ours.text and "," not in ours.text:
        return _all(compare(part, theirs.text, leaf, depth + 1) for part in ours.parts[:MAX_PARTS])
    if {ours.kind, theirs.kind} == {"list", "tuple"}:
        # 3, 2 for (3, 2): the order is the tuple's.
        the_tuple = ours if ours.kind == "tuple" else theirs
        the_list = theirs if ours.kind == "tuple" else ours
        if the_tuple.marks != ("(", ")") or the_list.marks:
            return False
        return _in_order(ours.parts, theirs.parts, leaf, depth)
    if ours.kind != theirs.kind:
        # A sum of matrices is a leaf that may equal a matrix; nothing else changes its kind.
        return leaf(ours.text, theirs.text) if {ours.kind, theirs.kind} == {"matrix", "leaf"} else False
    if ours.kind in ("list", "union"):
        return _in_any_order(_distinct(ours.parts), _distinct(theirs.parts), leaf, depth)
    if len(ours.parts) != len(theirs.parts):
        return False
    return ours.marks == theirs.marks and _in_order(ours.parts, theirs.parts, leaf, depth)


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    told = list(verdicts)
    return False if False in told else None if None in told else True


def _named(ours: Node, theirs: Node, leaf: Leaf, depth: int) -> bool | None:
    """Values with names, beside others with names or in an order that the names give. Raises `LookupError` where the
    names settle nothing."""
    mine, yours = named_values(ours), named_values(theirs)
    names = [name for name, _ in mine or yours or ()]
    if not names or len(set(names)) < len(names):
        raise LookupError
    if mine is not None and yours is not None:
        by_name = dict(yours)
        if sorted(names) != sorted(name for name, _ in yours):
            return False
        return _in_order([value for _, value in mine], [by_name[name] for name in names], leaf, depth)
    bare = theirs if mine is not None else ours
    if bare.kind not in ("list", "tuple") or "relation" in (ours.kind, theirs.kind):
        raise LookupError
    if (values := in_order_of(mine or yours or (), bare)) is None:
        return False
    return (
        _in_order(values, bare.parts, leaf, depth) if mine is not None else _in_order(bare.parts, values, leaf, depth)
    )


def _leaves(gold: str, prediction: str, leaf: Leaf) -> bool | None:
    values = same_unit(*ratios(gold, prediction))
    if values is None or words_differ(*values):
        return False
    return same_ratio(*values, leaf)


def _relations(gold: Node, prediction: Node, leaf: Leaf, depth: int) -> bool | None:
    if gold.kind == "relation" and prediction.kind == "relation":
        return _two_relations(gold, prediction, leaf, depth)
    relation, other = (gold, prediction) if gold.kind == "relation" else (prediction, gold)
    swapped = relation is prediction

    def against(part: str) -> bool | None:
        return compare(other.text, part, leaf, depth + 1) if swapped else compare(part, other.text, leaf, depth + 1)

    if not set(relation.marks) <= {"=", "\\in", "\\equiv"}:
        return False
    named = NAME.fullmatch(relation.parts[0]) is not None
    # A candidate may compute (10^3 = 1000); a gold equation is more than its right side unless it names it.
    return _chain(relation, against, named) if named or swapped else False


def _chain(relation: Node, against: Callable[[str], bool | None], named: bool) -> bool | None:
    """Does `name = … = value` stand for the other answer? Every part without letters must, and the last one."""
    distinct = list(dict.fromkeys(relation.parts[1:] if named else relation.parts))
    if len(distinct) > MAX_PARTS:
        return False
    verdicts = [
        against(part)
        for part in distinct
        if part == relation.parts[-1] or not (_SYMBOL.search(COMMAND.sub(" ", part)) or "mod" in part)
    ]
    return False if False in verdicts else None if None in verdicts else True


def _approximated(gold: Node, prediction: Node, leaf: Leaf, depth: int) -> bool | None:
    r"""One of them is `exact \approx rounded`, from either side."""
    golds = [exact for exact, _ in _exact_ends(gold, leaf)][:1] or [gold.parts[0]] if _is_rounded(gold) else [gold.text]
    ends = _exact_ends(prediction, leaf) if _is_rounded(prediction) else [(prediction.text, True)]
    verdicts: list[bool | None] = []
    for exact, rounded in ends:
        verdict = compare(golds[0], exact, leaf, depth + 1)
        verdicts.append(verdict if rounded else False if verdict is False else None)
    return True if True in verdicts else None if None in verdicts else False


def _is_rounded(node: Node) -> bool:
    return node.kind == "relation" and "\\approx" in node.marks


def _exact_ends(relation: Node, leaf: Leaf) -> list[tuple[str, bool | None]]:
    """The ends that may be exact, first the first, each with whether all others are its roundings: True or unknown."""
    groups = split(relation.text, "\\approx")
    if not all(groups):
        return []
    if NAME.fullmatch(groups[0]) and groups[0] != "e":
        groups = [f"{groups[0]}={groups[1]}", *groups[2:]]
    found: list[tuple[str, bool | None]] = []
    ends = [(groups[0], groups[1:])]
    if (number := read_number(groups[-1])) is None or number.significant == 0:  # no decimal, which would be rounded
        ends.append((groups[-1], groups[:-1]))
    for exact, others in ends:
        value = split(exact, "=")[-1]
        shown = [part for other in others[:MAX_PARTS] for part in split(other, "=")]
        verdicts = [leaf(value, ROUNDED + part) for part in shown]
        if False not in verdicts:
            found.append((exact, None if None in verdicts else True))
    return found


def _two_relations(gold: Node, prediction: Node, leaf: Leaf, depth: int) -> bool | None:  # noqa: PLR0911
    if set(gold.marks) == set(prediction.marks) == {"="}:
        mine, yours = _assigned(gold), _assigned(prediction)
        if mine is not None and yours is not None:
            if mine[0] == yours[0]:
                return compare(mine[1], yours[1], leaf, depth + 1)
            # The same equation may be solved for another of its names.
            turned_around = mine[0] in COMMAND.sub(" ", yours[1]) and yours[0] in COMMAND.sub(" ", mine[1])
            return leaf(gold.text, prediction.text) if turned_around else False
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
    if NAME.fullmatch(relation.parts[0]):
        return _BRACED_INDEX.sub(r"_\1", relation.parts[0]), relation.parts[-1]
    if len(relation.parts) == 2 and NAME.fullmatch(relation.parts[1]):
        return _BRACED_INDEX.sub(r"_\1", relation.parts[1]), relation.parts[0]
    return None


def _turned(relation: Node) -> Node:
    marks = tuple(_FLIPPED.get(mark, mark) for mark in reversed(relation.marks))
    return Node("relation", relation.text, tuple(reversed(relation.parts)), marks)


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
