r"""Numeric comparison of two expressions, between the exact path and computer algebra.

Expressions of numbers, symbols, + - * / ^, fractions, roots, factorials, π and e are evaluated at points: exactly where
the value is rational, else to 340 digits. The points come from a hash of both texts, so that no answer can be written
to vanish on them. Rational functions that agree at three such points are equal; other values are equal where they agree
to 300 digits and different where they differ clearly. Everything in between, and everything that is read in two ways
(`1/2x`, `x2`, `f(x)`), is left open.

Nothing here can run away: texts are short, integers have a largest size, and a decimal's precision is fixed.
"""

import hashlib
import re
from collections.abc import Sequence
from decimal import Decimal, DecimalException, localcontext
from fractions import Fraction
from functools import lru_cache

from rewright.service.mathematics.answers.exact_values import (
    CONTEXT,
    Point,
    Term,
    Unreadable,
    Value,
    decimal,
    factorial,
    inverse,
    negated,
    pi,
    plus,
    reduce,
    root,
    times,
    to_the,
)

_MAX_CHARACTERS = 300
_MAX_DEPTH = 24
_POINTS = 3
_EQUAL_TO = Decimal(10) ** -300
_CLEARLY = Decimal(10) ** -100

_WORD = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?|\.\d+)|(?P<command>\\[A-Za-z]+)|(?P<letter>[A-Za-z](?:_(?:[A-Za-z0-9]"
    r"|\{\w{1,8}\}))?)"
    r"|(?P<mark>[-+*/^(){}\[\]!]))\s*"
)
# Derivatives, and decimals so long that they are a printed binary float.
_READ_IN_TWO_WAYS = re.compile(r"\\frac\{d|\.\d{14}|\d{8}\.\d{7}")
_GREEK = re.compile(
    r"\\(?:alpha|beta|gamma|delta|(?:var)?epsilon|zeta|eta|theta|kappa|lambda|mu|nu|xi|rho|sigma|tau|(?:var)?phi"
    r"|chi|psi"
    r"|omega|Gamma|Delta|Theta|Lambda|Omega|Phi|Psi|Sigma)"
)
_TIMES = frozenset(("*", "\\cdot", "\\times"))
_FUNCTIONS = frozenset("fghFGHPCE")
_CLOSING = {"(": ")", "{": "}", "[": "]"}


def same_value(gold: str, prediction: str) -> bool | None:
    """Whether two normalised expressions are equal; None where this module cannot tell."""
    first, second = _read(gold), _read(prediction)
    if first is None or second is None:
        return None
    (mine, symbols), (yours, their_symbols) = first, second
    names = sorted(symbols | their_symbols)
    verdicts = set()
    with localcontext(CONTEXT):
        for point in _points(names, gold, prediction):
            try:
                verdicts.add(_agree(mine(point), yours(point), exact=not names))
            except (ArithmeticError, DecimalException, Unreadable):
                return None
            if False in verdicts:
                return False
            if not names:
                break
    return True if verdicts == {True} else None


def value_of(text: str) -> Value | None:
    """The value of a normalised expression without symbols; None for every other text."""
    read = _read(text)
    if read is None or read[1]:
        return None
    with localcontext(CONTEXT):
        try:
            return read[0]({})
        except (ArithmeticError, DecimalException, Unreadable):
            return None


def _agree(mine: Value, yours: Value, *, exact: bool) -> bool | None:
    if isinstance(mine, Fraction) and isinstance(yours, Fraction):
        return mine == yours
    a, b = decimal(mine), decimal(yours)
    size = max(abs(a), abs(b))
    if abs(a - b) <= _EQUAL_TO * size and size > _CLEARLY:
        # Irrational functions may agree on some region alone, which algebra must settle.
        return True if exact else None
    return False if abs(a - b) > _CLEARLY * size and min(abs(a), abs(b)) > _CLEARLY else None


def _points(names: Sequence[str], *texts: str) -> list[Point]:
    seed = hashlib.blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    points: list[Point] = []
    for row in range(_POINTS):
        point: Point = {}
        for name in names:
            number = hashlib.blake2b(f"{row}{name}".encode(), key=seed, digest_size=8).digest()
            over = int.from_bytes(number[:4], "big") % 999_983 + 2
            below = int.from_bytes(number[4:], "big") % 99_991 + 2
            point[name] = Fraction(-over if row == 1 else over, below)
        points.append(point)
    return points


# --- reading ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[Term, frozenset[str]] | None:
    """The expression as a function of a point, and its symbols; None for what is not one."""
    if len(text) > _MAX_CHARACTERS or not text.isascii() or _READ_IN_TWO_WAYS.search(text):
        return None
    try:
        return _Reader(text).whole()
    except Unreadable:
        return None


class _Reader:
    """Recursive descent over the words of one text."""

    def __init__(self, text: str) -> None:
        self._words: list[str] = []
        self._place = 0
        self._depth = 0
        self._symbols: set[str] = set()
        end = 0
        while end < len(text):
            match = _WORD.match(text, end)
            if match is None:
                raise Unreadable
            self._words.append(match[0].strip())
            end = match.end()

    def whole(self) -> tuple[Term, frozenset[str]]:
        term = self._sum()
        if self._next():
            raise Unreadable
        return term, frozenset(self._symbols)

    def _next(self) -> str:
        return self._words[self._place] if self._place < len(self._words) else ""

    def _take(self, wanted: str | None = None) -> str:
        word = self._next()
        if not word or (wanted is not None and word != wanted):
            raise Unreadable
        self._place += 1
        return word

    def _sum(self) -> Term:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unreadable
        negative = self._signs()
        terms = [negated(self._product()) if negative else self._product()]
        while self._next() in ("+", "-"):
            negative = self._signs()
            terms.append(negated(self._product()) if negative else self._product())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else lambda point: reduce(plus, terms, point)

    def _signs(self) -> bool:
        negative = False
        while self._next() in ("+", "-"):
            negative ^= self._take() == "-"
        return negative

    def _product(self) -> Term:
        factors = [self._power()]
        divided = False
        while word := self._next():
            if word in _TIMES:
                self._take()
                factors.append(self._signed_power())
            elif word in ("/", "\\div"):
                self._take()
                factors.append(inverse(self._signed_power()))
                divided = True
            elif word in "+-)}]":
                break
            else:
                before = self._words[self._place - 1]
                if divided or word[0].isdigit() or word[0] == "." or (before[-1].isdigit() and word == "\\frac"):
                    raise Unreadable  # 1/2x, x2, 2 3, and the mixed number 2\frac{1}{3}
                factors.append(self._power())
        return factors[0] if len(factors) == 1 else lambda point: reduce(times, factors, point)

    def _signed_power(self) -> Term:
        negative = self._signs()
        return negated(self._power()) if negative else self._power()

    def _power(self) -> Term:
        base = self._atom()
        while self._next() == "!":
            self._take()
            base = factorial(base)
        if self._next() != "^":
            return base
        self._take()
        if self._next() in _CLOSING:
            exponent = self._group()
        elif len(self._next()) == 1:
            exponent = self._atom()
        else:
            raise Unreadable  # 2^10 is 2^1 and 0 in LaTeX, and 2^{10} to most who write it
        if self._next() in ("^", "!"):
            raise Unreadable
        return lambda point: to_the(base(point), exponent(point))

    def _group(self) -> Term:
        opening = self._take()
        inside = self._sum()
        self._take(_CLOSING[opening])
        return inside

    def _atom(self) -> Term:
        word = self._next()
        if word in _CLOSING:
            return self._group()
        self._take()
        if word[0].isdigit() or word[0] == ".":
            value = Fraction(word)
            return lambda point: value
        if word[0].isalpha() or _GREEK.fullmatch(word):
            return self._symbol(word)
        if word == "\\pi":
            return lambda point: pi()
        if word == "\\frac":
            over, below = self._braced(), inverse(self._braced())
            return lambda point: times(over(point), below(point))
        if word == "\\sqrt":
            degree: Term = self._group() if self._next() == "[" else (lambda point: Fraction(2))
            of = self._braced()
            return lambda point: root(of(point), degree(point))
        raise Unreadable

    def _braced(self) -> Term:
        if self._next() != "{":
            raise Unreadable
        return self._group()

    def _symbol(self, name: str) -> Term:
        name = name.replace("{", "").replace("}", "")
        if name == "e":
            return lambda point: Decimal(1).exp()
        applied = self._next() == "(" and self._words[self._place + 2 : self._place + 3] == [")"]
        if name == "i" or applied or (name in _FUNCTIONS and self._next() in ("(", "^")):
            raise Unreadable
        self._symbols.add(name)
        return lambda point: point[name]
