"""Tokens of a plain sentence, and expressions of numbers with units, in exact interval arithmetic.

A decimal stands for every number that it may be rounded from: 0.33 is [0.325, 0.335]. An integer is exact. A percentage
is read both as a hundredth and as a number, by the caller's choice.

Promises: an expression that is read is read whole; what could mean something else (a variable, a mixed number, `x` that
is no sign of multiplication) is not read. Sizes are bounded, so that `9^9^9` costs nothing.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple

from service.scorers.calculation.words import GLUED_UNITS, NO_UNITS

Kind = Literal["number", "word", "sign", "end", "unknown"]

MAX_TOKENS = 400
_MAX_DIGITS = 24
_MAX_EXPONENT = 64
_MAX_DEPTH = 12
_MAX_UNIT_WORDS = 4

_TOKEN = re.compile(
    r"(?P<clock>\d+:\d+\S*)|(?P<number>\d+\.\d+|\.\d+|\d+)|(?P<word>[A-Za-z]+(?:'[a-z]+)?)"
    r"|(?P<sign>[-+*/^()%$=])|(?P<end>[.,;:!?])|(?P<space>\s+)|(?P<unknown>.)",
    re.DOTALL,
)
_WORD_SIGNS = {"plus": "+", "minus": "-"}


class Token(NamedTuple):
    kind: Kind
    text: str
    glued: bool
    """No white space stands before it."""


@dataclass(frozen=True)
class Interval:
    low: Fraction
    high: Fraction

    @property
    def exact(self) -> bool:
        return self.low == self.high

    def __add__(self, other: "Interval") -> "Interval":
        return Interval(self.low + other.low, self.high + other.high)

    def __neg__(self) -> "Interval":
        return Interval(-self.high, -self.low)

    def __mul__(self, other: "Interval") -> "Interval":
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def __truediv__(self, other: "Interval") -> "Interval":
        if other.low <= 0 <= other.high:
            raise Unreadable
        return self * Interval(1 / other.high, 1 / other.low)


class Unreadable(Exception):
    """No plain arithmetic stands here."""


class Expression(NamedTuple):
    value: Interval
    start: int
    end: int
    """The place of the first token behind it."""
    operations: int
    units: frozenset[str]
    """Words behind its numbers, in the singular; `dollar` for a currency sign."""
    decimals: int | None
    """Decimals of an expression that is one number; None for any other."""
    first: Interval
    """Its first number."""


def tokens(plain: str) -> list[Token]:
    found: list[Token] = []
    spaced = True
    for match in _TOKEN.finditer(plain):
        kind = match.lastgroup
        if kind == "space":
            spaced = True
            continue
        if kind == "clock":
            kind = "unknown"
        found.append(Token(kind, match[0], not spaced))  # type: ignore[arg-type]  # the pattern's groups are the kinds
        spaced = False
    return found


def read(all_tokens: list[Token], start: int, *, percent: Fraction) -> Expression:
    """The longest expression that begins at `start`. percent: what `%` multiplies with. Raises `Unreadable`."""
    reader = _Reader(all_tokens, start, percent)
    value = reader.sum(0)
    first = Interval(reader.numbers[0], reader.numbers[0])
    return Expression(value, start, reader.at, reader.operations, frozenset(reader.units), reader.decimals(), first)


class _Reader:
    def __init__(self, all_tokens: list[Token], start: int, percent: Fraction) -> None:
        self._tokens = all_tokens
        self._percent = percent
        self.numbers: list[Fraction] = []
        self._places: list[int] = []
        self.at = start
        self.operations = 0
        self.units: set[str] = set()

    def decimals(self) -> int | None:
        return self._places[0] if self.operations == 0 and len(self._places) == 1 else None

    def _look(self, ahead: int = 0) -> Token | None:
        place = self.at + ahead
        return self._tokens[place] if place < len(self._tokens) else None

    def _is(self, *texts: str) -> bool:
        token = self._look()
        return token is not None and token.kind in ("sign", "word") and token.text in texts

    def sum(self, depth: int) -> Interval:
        if depth > _MAX_DEPTH:
            raise Unreadable
        value = self._product(depth)
        while True:
            sign = self._sign("+", "-")
            if sign is None:
                return value
            right = self._product(depth)
            value = value + right if sign == "+" else value + -right
            self._bounded(value)

    def _product(self, depth: int) -> Interval:
        value = self._factor(depth)
        while True:
            before = self._tokens[self.at - 1]
            token = self._look()
            if token is not None and token.text == "(" and token.glued and before.text != "$":
                if before.kind not in ("number", "sign"):
                    raise Unreadable  # f(3)
                sign = "*"
                self.operations += 1
            else:
                found = self._sign("*", "/")
                if found is None:
                    return value
                sign = found
            right = self._factor(depth)
            if sign == "/" and self._is("/"):
                raise Unreadable  # 60 / 3/4 is written for 60 divided by three quarters as often as not
            value = value * right if sign == "*" else value / right
            self._bounded(value)

    def _sign(self, *wanted: str) -> str | None:
        """The next operator if it is one of `wanted`, consumed."""
        token = self._look()
        if token is None:
            return None
        text = _WORD_SIGNS.get(token.text, token.text)
        length = 1
        if token.kind == "word" and text in ("divided", "multiplied") and self._text(1) == "by":
            text, length = ("/" if text == "divided" else "*"), 2
        elif text in ("x", "X"):
            # 3x5 and 3 x 5 multiply, 3x + 5 has a variable.
            follows = self._look(1)
            number = follows is not None and (
                follows.kind == "number" or (not token.glued and follows.text in ("$", "("))
            )
            text = "*" if number and follows is not None and follows.glued == token.glued else "?"
        elif text == "of" and self._tokens[self.at - 1].text in ("%", "percent", ")"):
            text = "*"
        if token.kind in ("word", "sign") and text in wanted:
            self.at += length
            self.operations += 1
            return text
        return None

    def _text(self, ahead: int) -> str:
        token = self._look(ahead)
        return token.text if token is not None else ""

    def _factor(self, depth: int) -> Interval:
        if self._is("-", "+"):
            negative = self._is("-")
            self.at += 1
            value = self._factor(depth)
            return -value if negative else value
        if self._is("$"):
            self.at += 1
            # A dollar sign is money before a number, else it only fences a formula.
            if (token := self._look()) is not None and token.kind == "number" and token.glued:
                self.units.add("dollar")
            if self._is("-"):
                return self._factor(depth)
        token = self._look()
        if token is None:
            raise Unreadable
        if token.text == "(" and token.kind == "sign":
            self.at += 1
            value = self.sum(depth + 1)
            self._words()
            if not self._is(")"):
                raise Unreadable
            self.at += 1
        elif token.kind == "number":
            value = self._number(token)
        else:
            raise Unreadable
        if self._is("%", "percent"):
            self.at += 1
            value = value * Interval(self._percent, self._percent)
        if self._is("^"):
            value = self._power(value, depth)
        while self._is("$"):
            self.at += 1
        self._words()
        return value

    def _number(self, token: Token) -> Interval:
        if len(token.text) > _MAX_DIGITS or re.match(r"0\d", token.text):
            raise Unreadable
        self.at += 1
        places = len(token.text.partition(".")[2])
        value = Fraction(token.text)
        self.numbers.append(value)
        self._places.append(places)
        half = Fraction(1, 2 * 10**places) if places else Fraction(0)
        return Interval(value - half, value + half)

    def _power(self, base: Interval, depth: int) -> Interval:
        self.at += 1
        self.operations += 1
        exponent = self._factor(depth + 1)
        if not (base.exact and exponent.exact and exponent.low.denominator == 1 and abs(exponent.low) <= _MAX_EXPONENT):
            raise Unreadable
        if base.low == 0 or self._is("^"):
            raise Unreadable
        value = base.low ** int(exponent.low)
        self._bounded(Interval(value, value))
        return Interval(value, value)

    def _words(self) -> None:
        """Units behind a number: `apples`, `km/h`, `dollars per hour`, `m^2`."""
        for count in range(_MAX_UNIT_WORDS):
            token = self._look()
            slash = token is not None and token.text == "/" and (follows := self._look(1)) and follows.kind == "word"
            word = self._look(1) if slash else token
            if word is None or word.kind != "word" or word.text.lower() in NO_UNITS:
                return
            if word.text.lower() in ("percent", "divided", "multiplied") or word.text in ("x", "X"):
                return
            glued = word.glued and not slash and self._tokens[self.at - 1].kind != "word"
            article = word.text == "a" and (follows := self._look(1)) is not None and follows.kind == "word"
            if (len(word.text) == 1 and not article) or (glued and word.text.lower() not in GLUED_UNITS):
                raise Unreadable  # a variable, or a number with a letter
            if not slash and count == 0:
                self.units.add(_singular(word.text))
            self.at += 2 if slash else 1
            if self._is("^"):
                self.at += 2

    def _bounded(self, value: Interval) -> None:
        if max(abs(value.low.numerator), value.low.denominator) > 10**60:
            raise Unreadable


def _singular(word: str) -> str:
    word = word.lower()
    return {"feet": "foot", "inches": "inch", "pennies": "penny"}.get(word, word.removesuffix("s"))
