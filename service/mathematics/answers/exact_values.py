"""Arithmetic on values that are exact while they are rational and decimals of 340 digits else.

Every step is bounded: rationals have a largest size, decimals a fixed precision, factorials a largest argument. What
goes past a bound, or has no single real value, raises `Unreadable` or an `ArithmeticError`.
"""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

_MAX_BITS = 20_000
_DIGITS = 340
CONTEXT = Context(prec=_DIGITS, Emax=10**6, Emin=-(10**6))

Value = Fraction | Decimal
Point = dict[str, Value]
Term = Callable[[Point], Value]


class Unreadable(Exception):
    """Not an expression of this module's kind, or one that is read in two ways."""


def decimal(value: Value) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator) if isinstance(value, Fraction) else value


def reduce(step: Callable[[Value, Value], Value], terms: Sequence[Term], point: Point) -> Value:
    value = terms[0](point)
    for term in terms[1:]:
        value = step(value, term(point))
    return value


def plus(a: Value, b: Value) -> Value:
    return _bounded(a + b) if isinstance(a, Fraction) and isinstance(b, Fraction) else decimal(a) + decimal(b)


def times(a: Value, b: Value) -> Value:
    return _bounded(a * b) if isinstance(a, Fraction) and isinstance(b, Fraction) else decimal(a) * decimal(b)


def negated(term: Term) -> Term:
    return lambda point: -term(point)


def inverse(term: Term) -> Term:
    return lambda point: reciprocal(term(point))


def reciprocal(value: Value) -> Value:
    return 1 / value


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MAX_BITS:
        raise Unreadable
    return value


def factorial(term: Term) -> Term:
    def product(point: Point) -> Value:
        n = term(point)
        if not isinstance(n, Fraction) or n.denominator != 1 or not 0 <= n <= 200:
            raise Unreadable
        value = 1
        for factor in range(2, int(n) + 1):
            value *= factor
        return Fraction(value)

    return product


def to_the(base: Value, exponent: Value) -> Value:
    if isinstance(exponent, Fraction) and exponent.denominator == 1:
        power = int(exponent)
        if isinstance(base, Decimal):
            return base**power
        if abs(power) * max(base.numerator.bit_length(), base.denominator.bit_length()) > _MAX_BITS:
            raise Unreadable
        if not base and power <= 0:
            raise Unreadable
        return base**power
    if base <= 0:
        raise Unreadable  # a complex value, or one of several real readings
    if isinstance(exponent, Fraction) and exponent.denominator == 2 and abs(exponent) < 100:
        root = _square_root(base)
        return to_the(root, Fraction(exponent.numerator))
    return decimal(base) ** decimal(exponent)


def root(base: Value, degree: Value) -> Value:
    """The real root: of a negative value where the degree is odd."""
    odd = isinstance(degree, Fraction) and degree.denominator == 1 and degree.numerator % 2 == 1
    return -to_the(-base, reciprocal(degree)) if base < 0 and odd else to_the(base, reciprocal(degree))


def _square_root(base: Value) -> Value:
    """Exact where the root is rational, so that what it is part of stays exact."""
    if isinstance(base, Fraction):
        over, below = Decimal(base.numerator).sqrt(), Decimal(base.denominator).sqrt()
        if over == over.to_integral_value() and below == below.to_integral_value():
            exact = Fraction(int(over), int(below))
            if exact * exact == base:
                return exact
    return decimal(base).sqrt()


@lru_cache(maxsize=1)
def pi() -> Decimal:
    """Machin's formula, in integers with guard digits."""
    unit: int = 10 ** (_DIGITS + 20)

    def arctan_of_inverse(x: int) -> int:
        total: int = unit // x
        power = total
        n, sign = 1, 1
        while power:
            power //= x * x
            n, sign = n + 2, -sign
            total += sign * (power // n)
        return total

    digits = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    return CONTEXT.divide(Decimal(digits), Decimal(unit))
