r"""Which statements `A = B` (or `A ≈ B`) of a text are plain arithmetic, and the first that is false.

Promises: precision first. A statement is called false only when every reading of it is: percentages as hundredths and
as numbers, decimals as rounded or cut off, a quotient written as a whole number, run-on equalities
(`3 + 4 = 7 + 2 = 9`), units of one kind that may have been converted (`2 hours * 60 = 120 minutes`). With a variable
it is false only where no value of it could make it true (`12x + 92 = 96 + 12x`), or none but 0 (`2x + 3x = 6x`).
Nothing is said of sentences that suppose, deny or estimate, or that compute in another base or modulo something.

Not covered: statements without an equals sign, and arithmetic spread over lines.
"""

import re
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from rewright.service.mathematics.equations.agreement import agree, shown
from rewright.service.mathematics.equations.grammar import MAX_TOKENS, Expression, Token, may_begin, read, tokens
from rewright.service.mathematics.equations.intervals import Unreadable
from rewright.service.mathematics.equations.plain_text import plain, sentences
from rewright.service.mathematics.equations.terms import Terms
from rewright.service.mathematics.equations.words import JOINING, LABELLING, OPERATING

_MAX_QUOTE = 160
_MAX_SENTENCE = 4_000
"""Characters beyond which a sentence is no step of anybody's."""

_EQUALS = re.compile(r"[=≈]|\\approx(?![A-Za-z])")
_OTHER_ARITHMETIC = re.compile(
    r"\bbase[-\s_]*(?:\d|two|three|four|five|six|seven|eight|nine|sixteen|b\b)|\bbinary\b|\bhexadecimal\b|\boctal\b"
    r"|\bmod(?:ul(?:o|us))?\b|\\[pb]?mod|≡|\\equiv|\bclock\b|o'clock|_\{?\d\}?\s*[-+=]"
    r"|\b[a-z]\s*(?:\*|\\ast|∗)\s*[a-z]\s*(?:\$\s*)?=",
    re.IGNORECASE,
)
_NOT_MEANT = re.compile(
    r"≅|≃|≠|!=|[<>≤≥~]|\\(?:neq?|sim|simeq|cong|leq?|geq?|lt|gt|mod)\b"
    r"|\bno[,.]|\b(?:not|never|wrong|wrongly|incorrect|incorrectly|false|mistake|mistaken(?:ly)?|error"
    r"|contradict\w*|impossible|might|instead|wait|hmm|maybe|perhaps|guess\w*|about|around|(?<!\\)approx\w*|rounded|rounding"
    r"|round(?= (?:up|down|to|it))|nearest|rough\w*|almost|nearly|estimat\w*|truncat\w*|r|dozens?"
    r"|hundreds?|thousands?|millions?|billions?|mixed"
    r"|degrees?|digits?|pm|am|noon|midnight)\b|n't\b|\?|=\s*\S{1,40}\s+(?:with\s+)?(?:a\s+)?remainder"
    # A supposition reaches to the next comma.
    r"|\b(?:if|suppos\w+|assum\w+|try|trying|whether|plug\w*|substitut\w*)\b(?:(?!,|\bthen\b)[^=]){0,200}=",
    re.IGNORECASE,
)
_OPERATORS = ("+", "-", "*", "/", "^")
_PERCENT_READINGS = (Fraction(1, 100), Fraction(1))
_NO_SOLUTION = re.compile(
    r"\b(?:no|not|never|none|without|contradict\w*|impossible|inconsistent|absurd|false|cannot|parallel|undefined)\b"
    r"|n't\b|∅|\\emptyset|\\varnothing",
    re.IGNORECASE,
)
_COMPLEX = re.compile(r"\b(?:complex|imaginary)\b|\bi\^\{?2\}?\s*=\s*-\s*1\b", re.IGNORECASE)
"""Where `i` is no index and no unit vector."""


class FalseStatement(NamedTuple):
    quote: str
    """The sentence as it stands in the text; of a long one only the statement, in plain characters."""
    left: str
    """The value of its left side, as a short number."""
    right: str


def first_false(text: str, *, trusted: str = "") -> FalseStatement | None:
    """The first false arithmetic statement of `text`; None where there is none or nothing is certain.

    trusted: problem and reference. Where they compute in another base, modulo something or with an operation of their
    own, nothing is said; where the text alone does, nothing is said of that sentence, so that no added line can
    excuse the others. A denial in the next sentence excuses only what may be a supposition: an equation with a
    variable, or one that begins with its result.
    """
    if _OTHER_ARITHMETIC.search(trusted):
        return None
    imaginary = _COMPLEX.search(trusted) is not None
    for sentence, following in pairwise([*sentences(text), ""]):
        if not _EQUALS.search(sentence) or len(sentence) > _MAX_SENTENCE:
            continue
        if _NOT_MEANT.search(sentence) or _OTHER_ARITHMETIC.search(sentence):
            continue
        found = tokens(plain(sentence))
        if len(found) > MAX_TOKENS:
            continue
        wrong = _wrong_pair(found, imaginary=imaginary, solvable=not _NO_SOLUTION.search(f"{sentence} {following}"))
        if wrong is not None:
            left, right, written = wrong
            quote = " ".join(sentence.split())
            return FalseStatement(quote if len(quote) <= _MAX_QUOTE else written, shown(left), shown(right))
    return None


def _wrong_pair(found: list[Token], *, imaginary: bool, solvable: bool) -> tuple[Terms, Terms, str] | None:
    """The first pair of neighbours in a chain of equalities that no reading makes equal: their values, and both as
    they were read. solvable: variables are said to have values.
    """
    at = [i for i, token in enumerate(found) if token.text in ("=", "≈") and token.kind == "sign"]
    bounds = [-1, *at, len(found)]
    approximate = any(found[i].text == "≈" for i in at)
    for k, equals in enumerate(at):
        segment = (bounds[k] + 1, equals)
        following = (equals + 1, bounds[k + 2])
        pairs = [_pair(found, segment, following, percent, imaginary) for percent in _PERCENT_READINGS]
        readable = [pair for pair in pairs if pair is not None]
        chained = k + 1 < len(at)
        if len(readable) < len(pairs) or not (solvable or _computes(*readable[0])):
            continue
        if not any(agree(*pair, chained=chained, approximate=approximate) for pair in readable):
            left, right = readable[0]
            written = "".join(t.text if t.glued else f" {t.text}" for t in found[left.start : right.end])
            return left.value, right.value, written.strip()
    return None


def _computes(left: Expression, right: Expression) -> bool:
    """Whether it says what something comes to, and is no equation: `3 + 4 = 8`, not `8 = 3 + 4` or `x = x + 1`."""
    return left.operations > 0 and left.value.is_known and right.value.is_known


def _pair(
    found: list[Token], before: tuple[int, int], after: tuple[int, int], percent: Fraction, imaginary: bool
) -> tuple[Expression, Expression] | None:
    left = _ending_at(found, before, percent, imaginary)
    right = _starting_at(found, after, percent, imaginary)
    if left is None or right is None:
        return None
    counts_one_thing = left.units == right.units and len(left.units) == 1 and "dollar" not in left.units
    return (left, right) if left.operations or right.operations or counts_one_thing else None


def _ending_at(found: list[Token], segment: tuple[int, int], percent: Fraction, imaginary: bool) -> Expression | None:
    """The expression that fills the segment up to its end, if something that cannot belong to it stands before."""
    start, end = segment
    for place in range(start, end):
        token = found[place]
        # Behind an operator begins no expression of its own.
        if not may_begin(token) or (place > start and found[place - 1].text in _OPERATORS):
            continue
        try:
            expression = read(found, place, end, percent=percent, imaginary=imaginary)
        except Unreadable:
            continue
        if expression.end != end:
            continue
        if place == start:
            return expression
        before = found[place - 1]
        if token.text == "-" and before.kind == "word":
            return None
        if before.kind == "word" and not token.glued:
            whole = expression.operations or _opens_formula(found, place)
            return expression if whole and _may_precede(found, start, place - 1) else None
        if before.kind == "end" or (before.text == "(" and not before.glued):
            # "1/6, 2/8 = 1/3, 1/4" equates lists.
            listed = (
                before.text == "," and found[place - 2].kind != "word" and (start == 0 or expression.operations < 2)
            )
            return expression if (expression.operations or expression.units) and not listed else None
        return None
    return None


def _opens_formula(found: list[Token], place: int) -> bool:
    """Whether the dollar sign here fences a formula that goes on behind the equals sign: `And $5 = 4 + 4$ is true`."""
    dollars = [i for i, token in enumerate(found) if token.text == "$"]
    if place not in dollars or len(dollars) % 2 or dollars.index(place) % 2:
        return False
    closing = dollars[dollars.index(place) + 1]
    behind = found[closing + 1] if closing + 1 < len(found) else None
    inside = any(token.text == "=" for token in found[place:closing])
    return inside and found[closing].glued and (behind is None or not behind.glued or behind.kind == "end")


def _starting_at(found: list[Token], segment: tuple[int, int], percent: Fraction, imaginary: bool) -> Expression | None:
    """The expression that the segment begins with, if what stands behind cannot belong to it."""
    start, end = segment
    if start == end:
        return None
    try:
        expression = read(found, start, end, percent=percent, imaginary=imaginary)
    except Unreadable:
        return None
    if expression.end == end:
        return expression
    behind = found[expression.end]
    if behind.kind == "end":
        follows = found[expression.end + 1] if expression.end + 1 < end else None
        factorial = behind.text == "!" and behind.glued
        return None if factorial or (follows is not None and follows.glued) else expression
    if behind.kind == "word":
        return expression if _may_follow(found, expression.end, end) else None
    return expression if behind.text in (")", "$") else None


def _may_precede(found: list[Token], start: int, place: int) -> bool:
    """Whether the word at `place` leaves the expression behind it alone."""
    word = found[place].text.lower()
    if word in OPERATING or word in LABELLING or (len(word) == 1 and word not in ("a", "i")):
        return False
    for at in reversed(range(start, place)):
        token = found[at]
        if token.kind == "end":
            return True
        if token.text == "/" and {found[at - 1].kind, found[at + 1].kind} == {"word"}:
            continue  # km/hr
        if token.text in _OPERATORS:
            return False
        if word in JOINING and (token.kind == "number" or token.text.lower() in OPERATING):
            return False
    return True


def _may_follow(found: list[Token], place: int, end: int) -> bool:
    """Whether the word at `place` leaves the expression before it alone."""
    word = found[place].text.lower()
    following = found[place + 1] if place + 1 < end else None
    if word == "times":
        return following is None or following.kind == "end"
    if word in OPERATING or (len(word) == 1 and word not in ("a", "i")):
        return False
    if word in ("more", "less", "fewer"):
        return following is None or following.text != "than"
    return not (
        word in JOINING and following is not None and (following.kind == "number" or following.text in ("a", "one"))
    )
