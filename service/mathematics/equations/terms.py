"""Sums of products of letters: `12x + 3 + 2x` is 14 times `x` and 3.

A letter is a number that nobody knows, so two such sums are certainly unlike only where they differ by a known number
alone; the imaginary unit is a letter whose square is -1.

Promises: numbers in front of letters follow the rules of `Interval`; the number of products and their length are
bounded; what is no such sum (`1 / x`, `2^x`) raises `Unreadable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from rewright.service.mathematics.equations.intervals import Interval, Unreadable

IMAGINARY = "imaginary"
Product = tuple[str, ...]
"""Letters in alphabetical order; none for a number alone."""
_NUMBER: Product = ()
_MOST_PRODUCTS = 24
_LONGEST_PRODUCT = 12
_ZERO = Interval.of(0)


@dataclass(frozen=True)
class Terms:
    parts: Mapping[Product, Interval]
    """What each product of letters is multiplied with; never exactly zero."""

    @classmethod
    def number(cls, value: Interval) -> "Terms":
        return _collected([(_NUMBER, value)])

    @classmethod
    def letter(cls, name: str) -> "Terms":
        return cls({(name,): Interval.of(1)})

    @property
    def constant(self) -> Interval:
        """The part without letters."""
        return self.parts.get(_NUMBER, _ZERO)

    @property
    def imaginary(self) -> Interval:
        return self.parts.get((IMAGINARY,), _ZERO)

    @property
    def is_number(self) -> bool:
        return self.parts.keys() <= {_NUMBER}

    @property
    def is_known(self) -> bool:
        """A real or complex number."""
        return self.parts.keys() <= {_NUMBER, (IMAGINARY,)}

    def letters(self) -> dict[Product, Interval]:
        """All but the part without letters."""
        return {product: value for product, value in self.parts.items() if product}

    def __add__(self, other: "Terms") -> "Terms":
        return _collected([*self.parts.items(), *other.parts.items()])

    def __neg__(self) -> "Terms":
        return Terms({product: -value for product, value in self.parts.items()})

    def __mul__(self, other: "Terms") -> "Terms":
        found = []
        for one, a in self.parts.items():
            for two, b in other.parts.items():
                letters = sorted((*one, *two))
                turned = letters.count(IMAGINARY) == 2  # i * i = -1
                product = tuple(x for x in letters if x != IMAGINARY) if turned else tuple(letters)
                if len(product) > _LONGEST_PRODUCT:
                    raise Unreadable
                found.append((product, -(a * b) if turned else a * b))
        return _collected(found)

    def __truediv__(self, other: "Terms") -> "Terms":
        if not other.parts or not other.is_known:
            raise Unreadable
        if other.is_number:
            return Terms({product: value / other.constant for product, value in self.parts.items()})
        turned = Terms.number(other.constant) + -(Terms.number(other.imaginary) * Terms.letter(IMAGINARY))
        return self * turned / (other * turned)

    def power(self, exponent: Fraction) -> "Terms":
        if self.is_number:
            return Terms.number(self.constant.power(exponent))
        if exponent.denominator != 1 or not 0 <= exponent <= _LONGEST_PRODUCT:
            raise Unreadable
        result = Terms.number(Interval.of(1))
        for _ in range(int(exponent)):
            result = result * self
        return result


def _collected(found: list[tuple[Product, Interval]]) -> Terms:
    parts: dict[Product, Interval] = {}
    for product, value in found:
        parts[product] = parts[product] + value if product in parts else value
    parts = {product: value for product, value in parts.items() if value != _ZERO}
    if len(parts) > _MOST_PRODUCTS:
        raise Unreadable
    return Terms(parts)
