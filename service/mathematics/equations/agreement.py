"""Whether the two sides of a statement are equal by some reading of it.

Promises: numbers that may have been rounded, cut off or given as a whole part agree, also where units of one kind may
have been converted; with a variable two sides disagree only where no value of it could make them equal, or none but 0.
Pure.
"""

from fractions import Fraction

from rewright.service.mathematics.equations.grammar import Expression
from rewright.service.mathematics.equations.intervals import Interval
from rewright.service.mathematics.equations.terms import IMAGINARY, Terms
from rewright.service.mathematics.equations.words import UNITS_OF_A_KIND

_LOOSE = Fraction(1, 100)
"""Relative error allowed where a side is no whole number: intermediate results may have been rounded."""
_APPROXIMATE = Fraction(1, 50)
"""The same in a sentence with `≈`."""
_ESTIMATED = Fraction(1, 10)
"""The same there where a number without decimals stands for the result."""


def agree(left: Expression, right: Expression, *, chained: bool, approximate: bool) -> bool:
    """Whether some reading makes the two sides equal. chained: another equals sign follows."""
    one, other = left.value, right.value
    if one.is_number and other.is_number:
        return _numbers_agree(left, right, chained=chained, approximate=approximate)
    loose = _APPROXIMATE if approximate else _LOOSE
    if one.is_known and other.is_known:
        return _close(one.constant, other.constant, loose) and _close(one.imaginary, other.imaginary, loose)
    if chained and right.operations > left.operations:
        return True
    if not all(value.exact for value in (*one.parts.values(), *other.parts.values())):
        return True
    # As an equation, "2z + 2z + 2z = 16z" would say that z is 0. "u × v = -v × u" is none of numbers.
    like_terms = one.parts.keys() == other.parts.keys() and [len(product) for product in one.parts] == [1]
    like_terms = like_terms and all(value.low > 0 for value in (*one.parts.values(), *other.parts.values()))
    return one == other if like_terms else one.letters() != other.letters() or one.constant == other.constant


def _numbers_agree(  # noqa: PLR0911 - a reading each
    left: Expression, right: Expression, *, chained: bool, approximate: bool
) -> bool:
    a, b = left.value.constant, right.value.constant
    places = {side.decimals for side in (left, right)} - {None}
    if approximate and not places:  # 49 * 11 ≈ 50 * 10
        return True
    loose = _LOOSE if not approximate else _ESTIMATED if 0 in places else _APPROXIMATE
    if _close(a, b, loose):
        return True
    gap = max(a.low - b.high, b.low - a.high)
    for one, other in ((left, right), (right, left)):
        if other.decimals is None:
            continue
        # A number without operations may be cut off instead of rounded, or be a whole part.
        if not one.value.constant.whole and gap < Fraction(1, 10**other.decimals):
            return True
        if approximate and gap <= _last_digit(other):
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
    return chained and right.operations > 0 and right.first is not None and a.low <= right.first <= a.high


def _close(a: Interval, b: Interval, loose: Fraction) -> bool:
    gap = max(a.low - b.high, b.low - a.high)
    if gap <= 0:
        return True
    return (loose == _ESTIMATED or not (a.whole and b.whole)) and gap <= loose * max(abs(a.low), abs(b.low))


def _last_digit(number: Expression) -> Fraction:
    """What one more in its last digit that is not zero would add: 10 for 1,450."""
    digits = str((number.first or Fraction(0)) * 10 ** (number.decimals or 0))
    return Fraction(10 ** (len(digits) - len(digits.rstrip("0"))), 10 ** (number.decimals or 0))


def shown(value: Terms) -> str:
    """As a person would write it: `7`, `2.5`, `92 + 12x`."""
    parts = [(letters, _short(number)) for letters, number in sorted(value.parts.items())]
    written = " + ".join(
        "".join([number if number != "1" or not letters else "", *("i" if x == IMAGINARY else x for x in letters)])
        for letters, number in parts
    )
    return written.replace("+ -", "- ") or "0"


def _short(value: Interval) -> str:
    middle = (value.low + value.high) / 2
    return str(middle) if middle.denominator == 1 else f"{float(middle):g}"
