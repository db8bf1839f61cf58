"""Numbers that may have been rounded, as intervals of exact fractions.

Promises: the true number lies in the interval; what has no single real value raises `Unreadable`; sizes are bounded, so
that `9^9^9` costs nothing.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

_MAX_EXPONENT = 64
_MAX_ROOT = 12
_MAX_FACTORIAL = 45
_LARGEST = 10**60
_FINE = 10**30
"""Bounds of a number that is not exact are multiples of 1 / `_FINE`."""


class Unreadable(Exception):
    """No plain arithmetic stands here."""


@dataclass(frozen=True)
class Interval:
    low: Fraction
    high: Fraction

    @classmethod
    def of(cls, exact: Fraction | int) -> "Interval":
        return cls(Fraction(exact), Fraction(exact))

    @property
    def exact(self) -> bool:
        return self.low == self.high

    @property
    def whole(self) -> bool:
        return self.exact and self.low.denominator == 1

    def __add__(self, other: "Interval") -> "Interval":
        return _bounded(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __mul__(self, other: "Interval") -> "Interval":
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return _bounded(min(ends), max(ends))

    def __truediv__(self, other: "Interval") -> "Interval":
        if other.low <= 0 <= other.high:
            raise Unreadable
        return self * Interval(1 / other.high, 1 / other.low)

    def power(self, exponent: Fraction) -> "Interval":
        """The real power. A fractional exponent is a root, of a positive number alone."""
        times, root = exponent.numerator, exponent.denominator
        if abs(times) > _MAX_EXPONENT or root > _MAX_ROOT:
            raise Unreadable
        base = self if root == 1 else _bounded(_root(self.low, root)[0], _root(self.high, root)[1])
        if (base.low <= 0 and not base.exact) or (base.low == 0 and times <= 0):
            raise Unreadable
        ends = sorted((base.low**times, base.high**times))
        return _bounded(ends[0], ends[1])

    def factorial(self) -> "Interval":
        if not self.whole or not 0 <= self.low <= _MAX_FACTORIAL:
            raise Unreadable
        return Interval.of(math.factorial(int(self.low)))


PI = Interval(Fraction(3), Fraction(22, 7))
"""Solutions take anything from 3 to 22/7 for π."""


def _bounded(low: Fraction, high: Fraction) -> Interval:
    if low != high:
        low = Fraction(math.floor(low * _FINE), _FINE)
        high = Fraction(math.ceil(high * _FINE), _FINE)
    if max(abs(low.numerator), abs(high.numerator), low.denominator) > _LARGEST * (1 if low == high else _FINE):
        raise Unreadable
    return Interval(low, high)


def _root(number: Fraction, degree: int) -> tuple[Fraction, Fraction]:
    """Two neighbours of the root, or twice the root itself where it is a fraction."""
    if number < 0:
        raise Unreadable
    top, bottom = _whole_root(number.numerator, degree), _whole_root(number.denominator, degree)
    if top**degree == number.numerator and bottom**degree == number.denominator:
        return Fraction(top, bottom), Fraction(top, bottom)
    scale = 10**15
    below = _whole_root(number.numerator * scale**degree // number.denominator, degree)
    return Fraction(below, scale), Fraction(below + 1, scale)


def _whole_root(number: int, degree: int) -> int:
    """The largest whole number whose power is at most `number`. Newton's method from above, in whole numbers."""
    if number == 0:
        return 0
    guess = 1 << -(-number.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better
