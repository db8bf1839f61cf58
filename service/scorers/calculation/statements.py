r"""Which statements `A = B` of a text are plain arithmetic, and the first that is false.

Promises: precision first. A statement is called false only when every reading of it is: percentages as hundredths and
as numbers, decimals as rounded or cut off, a quotient written as a whole number, run-on equalities
(`3 + 4 = 7 + 2 = 9`), units of one kind that may have been converted (`2 hours * 60 = 120 minutes`). Nothing is said of
sentences that suppose, deny or approximate, that compute in another base or modulo something, or of anything beside a
variable.

Not covered: statements without an equals sign, and arithmetic spread over lines.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from service.scorers.calculation.grammar import MAX_TOKENS, Expression, Interval, Token, Unreadable, read, tokens
from service.scorers.calculation.plain_text import plain, sentences
from service.scorers.calculation.words import JOINING, LABELLING, OPERATING, UNITS_OF_A_KIND

_MAX_QUOTE = 160
_MAX_SENTENCE = 4_000
"""Characters beyond which a sentence is no step of anybody's."""

_OTHER_ARITHMETIC = re.compile(
    r"\bbase[-\s_]*(?:\d|two|three|four|five|six|seven|eight|nine|sixteen|b\b)|\bbinary\b|\bhexadecimal\b|\boctal\b"
    r"|\bmod(?:ul(?:o|us))?\b|\\[pb]?mod|≡|\\equiv|\bclock\b|o'clock|_\{?\d\}?\s*[-+=]"
    r"|\b[a-z]\s*(?:\*|\\ast|∗)\s*[a-z]\s*(?:\$\s*)?=",
    re.IGNORECASE,
)
_NOT_MEANT = re.compile(
    r"≈|≅|≃|≠|!=|[<>≤≥~]|\\(?:approx|neq?|sim|simeq|cong|leq?|geq?|lt|gt|mod)\b"
    r"|\bno[,.]|\b(?:not|never|wrong|wrongly|incorrect|incorrectly|false|mistake|mistaken(?:ly)?|error"
    r"|contradict\w*|impossible|might|instead|wait|hmm|maybe|perhaps|guess\w*|about|around|approx\w*|rounded|rounding"
    r"|round(?= (?:up|down|to|it))|nearest|rough\w*|almost|nearly|estimat\w*|truncat\w*|r|dozens?"
    r"|hundreds?|thousands?|millions?|billions?|mixed"
    r"|degrees?|digits?|pm|am|noon|midnight)\b|n't\b|\?|=\s*\S{1,40}\s+(?:with\s+)?(?:a\s+)?remainder"
    # A supposition reaches to the next comma.
    r"|\b(?:if|suppos\w+|assum\w+|try|trying|whether)\b(?:(?!,|\bthen\b)[^=]){0,200}=",
    re.IGNORECASE,
)
_PERCENT_READINGS = (Fraction(1, 100), Fraction(1))
_LOOSE = Fraction(1, 100)
"""Relative error allowed where a side is no whole number: intermediate results may have been rounded."""


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
    excuse the others.
    """
    if _OTHER_ARITHMETIC.search(trusted):
        return None
    for sentence in sentences(text):
        if "=" not in sentence or len(sentence) > _MAX_SENTENCE:
            continue
        if _NOT_MEANT.search(sentence) or _OTHER_ARITHMETIC.search(sentence):
            continue
        found = tokens(plain(sentence))
        if len(found) > MAX_TOKENS:
            continue
        wrong = _wrong_pair(found)
        if wrong is not None:
            left, right, written = wrong
            quote = " ".join(sentence.split())
            return FalseStatement(quote if len(quote) <= _MAX_QUOTE else written, _shown(left), _shown(right))
    return None


def _wrong_pair(found: list[Token]) -> tuple[Interval, Interval, str] | None:
    """The first pair of neighbours in a chain of equalities that no reading makes equal: their values, and both as
    they were read."""
    at = [i for i, token in enumerate(found) if token.text == "=" and token.kind == "sign"]
    bounds = [-1, *at, len(found)]
    for k, equals in enumerate(at):
        segment = (bounds[k] + 1, equals)
        following = (equals + 1, bounds[k + 2])
        pairs = [_pair(found, segment, following, percent) for percent in _PERCENT_READINGS]
        readable = [pair for pair in pairs if pair is not None]
        chained = k + 1 < len(at)
        if len(readable) == len(pairs) and not any(_agree(*pair, chained=chained) for pair in readable):
            left, right = readable[0]
            written = "".join(t.text if t.glued else f" {t.text}" for t in found[left.start : right.end])
            return left.value, right.value, written.strip()
    return None


def _pair(
    found: list[Token], before: tuple[int, int], after: tuple[int, int], percent: Fraction
) -> tuple[Expression, Expression] | None:
    left = _ending_at(found, before, percent)
    right = _starting_at(found, after, percent)
    if left is None or right is None or left.operations + right.operations == 0:
        return None
    return left, right


def _ending_at(found: list[Token], segment: tuple[int, int], percent: Fraction) -> Expression | None:
    """The expression that fills the segment up to its end, if something that cannot belong to it stands before."""
    start, end = segment
    inside = found[:end]
    for place in range(start, end):
        token = found[place]
        if not (token.kind == "number" or token.text in ("(", "$", "-")):
            continue
        try:
            expression = read(inside, place, percent=percent)
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
            return expression if expression.operations and _may_precede(found, start, place - 1) else None
        if before.kind == "end" or (before.text == "(" and not before.glued):
            # "1/6, 2/8 = 1/3, 1/4" equates lists.
            listed = (
                before.text == "," and found[place - 2].kind != "word" and (start == 0 or expression.operations < 2)
            )
            return expression if expression.operations and not listed else None
        return None
    return None


def _starting_at(found: list[Token], segment: tuple[int, int], percent: Fraction) -> Expression | None:
    """The expression that the segment begins with, if what stands behind cannot belong to it."""
    start, end = segment
    if start == end:
        return None
    try:
        expression = read(found[:end], start, percent=percent)
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
    for token in reversed(found[start:place]):
        if token.kind == "end":
            return True
        if token.text in ("+", "-", "*", "/", "^"):
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


def _agree(left: Expression, right: Expression, *, chained: bool) -> bool:  # noqa: PLR0911 - a reading each
    """Whether some reading makes the two sides equal. chained: another equals sign follows."""
    a, b = left.value, right.value
    if a.low <= b.high and b.low <= a.high:
        return True
    gap = max(a.low - b.high, b.low - a.high)
    for one, other in ((left, right), (right, left)):
        if other.decimals is None:
            continue
        # A number without operations may be cut off instead of rounded, or be a whole part.
        places = other.decimals
        whole = one.value.exact and one.value.low.denominator == 1
        if not whole and gap < Fraction(1, 10**places):
            return True
    sizes = [abs(a.low), abs(b.low)]
    certain = a.exact and b.exact and a.low.denominator == 1 and b.low.denominator == 1
    if not certain and gap <= _LOOSE * max(sizes):
        return True
    if a == -b and right.operations == 0:  # "1800 - 2000 = 200 less" means the difference
        return True
    units = left.units | right.units
    if any(len(units & kind) > 1 for kind in UNITS_OF_A_KIND):
        return True
    # "3 pens + 1 rubber = 124 cents" is no sum of numbers.
    if len(left.units) > 1 and not left.units & right.units:
        return True
    # A run-on equality: the left side is what the right one goes on computing with.
    return chained and right.operations > 0 and a.low <= right.first.high and right.first.low <= a.high


def _shown(value: Interval) -> str:
    middle = (value.low + value.high) / 2
    return str(middle) if middle.denominator == 1 else f"{float(middle):g}"
