"""Tokens of a plain sentence, and expressions of numbers and letters, with units, in exact interval arithmetic.

A decimal stands for every number that it may be rounded from: 0.33 is [0.325, 0.335]. An integer is exact. A percentage
is read both as a hundredth and as a number, by the caller's choice. A single letter at a number or an operator is a
variable, or the imaginary unit where the caller says so.

Promises: an expression that is read is read whole; what could mean something else (a function's argument, a mixed
number, `x` that is no sign of multiplication, an exclamation) is not read. Sizes are bounded.
"""

import re
from fractions import Fraction
from typing import Literal, NamedTuple

from rewright.service.mathematics.equations.intervals import PI, Interval, Unreadable
from rewright.service.mathematics.equations.terms import IMAGINARY, Terms
from rewright.service.mathematics.equations.words import CAPITAL_UNITS, GLUED_UNITS, NO_UNITS

Kind = Literal["number", "word", "sign", "end", "unknown"]

MAX_TOKENS = 400
_MAX_DIGITS = 24
_MAX_DEPTH = 12
_MAX_UNIT_WORDS = 4
_NO_VARIABLES = frozenset("aAI")
"""Letters that are words at the beginning of an expression."""

_TOKEN = re.compile(
    r"(?P<clock>\d+:\d+\S*)|(?P<number>\d+\.\d+|\.\d+|\d+|π)|(?P<word>[A-Za-z]+(?:'[a-z]+)?)"
    r"|(?P<sign>[-+*/^()%$=≈])|(?P<end>[.,;:!?])|(?P<space>\s+)|(?P<unknown>.)",
    re.DOTALL,
)
_WORD_SIGNS = {"plus": "+", "minus": "-"}


class Token(NamedTuple):
    kind: Kind
    text: str
    glued: bool
    """No white space stands before it."""


class Expression(NamedTuple):
    value: Terms
    start: int
    end: int
    """The place of the first token behind it."""
    operations: int
    units: frozenset[str]
    """Words behind its numbers, in the singular; `dollar` for a currency sign."""
    decimals: int | None
    """Decimals of an expression that is one number; None for any other."""
    first: Fraction | None
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


def read(all_tokens: list[Token], start: int, end: int, *, percent: Fraction, imaginary: bool = False) -> Expression:
    """The longest expression that begins at `start` and ends before `end`.

    percent: what `%` multiplies with. imaginary: `i` is the imaginary unit. Raises `Unreadable`.
    """
    reader = _Reader(all_tokens, start, end, percent, imaginary)
    value = reader.sum(0)
    first = reader.numbers[0] if reader.numbers else None
    return Expression(value, start, reader.at, reader.operations, frozenset(reader.units), reader.decimals(), first)


def may_begin(token: Token) -> bool:
    """Whether an expression may begin with it."""
    return token.kind == "number" or token.text in ("(", "$", "-") or _is_letter(token, _NO_VARIABLES)


def _is_letter(token: Token | None, others: frozenset[str] = frozenset()) -> bool:
    return token is not None and token.kind == "word" and len(token.text) == 1 and token.text not in others


class _Reader:
    def __init__(self, all_tokens: list[Token], start: int, end: int, percent: Fraction, imaginary: bool) -> None:
        self._tokens = all_tokens
        self._end = end
        self._percent = Terms.number(Interval.of(percent))
        self._imaginary = imaginary
        self.numbers: list[Fraction] = []
        self._places: list[int] = []
        self.at = start
        self.operations = 0
        self.units: set[str] = set()

    def decimals(self) -> int | None:
        return self._places[0] if self.operations == 0 and len(self._places) == 1 else None

    def _look(self, ahead: int = 0) -> Token | None:
        place = self.at + ahead
        return self._tokens[place] if place < self._end else None

    def _is(self, *texts: str) -> bool:
        token = self._look()
        return token is not None and token.kind in ("sign", "word") and token.text in texts

    def sum(self, depth: int) -> Terms:
        if depth > _MAX_DEPTH:
            raise Unreadable
        value = self._product(depth)
        while True:
            sign = self._sign("+", "-")
            if sign is None:
                return value
            right = self._product(depth)
            value = value + right if sign == "+" else value + -right

    def _product(self, depth: int) -> Terms:
        value = self._factor(depth)
        divided = False
        while True:
            stands_there = self._multiplies_by_standing_there()
            if stands_there and divided:
                raise Unreadable  # 60/2x is written for 60/(2x) as often as not
            sign = "*" if stands_there else self._sign("*", "/")
            if sign is None:
                return value
            right = self._factor(depth)
            divided = sign == "/"
            if divided and self._is("/"):
                raise Unreadable  # 60 / 3/4 is written for 60 divided by three quarters as often as not
            value = value / right if divided else value * right

    def _multiplies_by_standing_there(self) -> bool:
        """Whether the next factor follows without a sign: `2(3 + 4)`, `12x`, `36 π`."""
        before, token = self._tokens[self.at - 1], self._look()
        if token is None or before.text == "$":
            return False
        if token.text == "(" and token.glued:
            letter_i = before.text == "i" and self._imaginary
            if before.kind not in ("number", "sign") and before.text != "!" and not letter_i:
                raise Unreadable  # f(3)
            found = True
        else:
            behind_number = before.kind == "number" or before.text in (")", "!")
            found = (token.text == "π" and behind_number) or (
                token.glued and _is_letter(token) and (behind_number or _is_letter(before)) and not self._is_times()
            )
        self.operations += found
        return found

    def _is_times(self) -> bool:
        """Whether the `x` here is a sign: 3x5 and 3 x 5 multiply, 3x + 5 has a variable."""
        token, follows = self._look(), self._look(1)
        if token is None or token.text not in ("x", "X") or follows is None:
            return False
        number = follows.kind == "number" or (not token.glued and follows.text in ("$", "("))
        return number and follows.glued == token.glued

    def _sign(self, *wanted: str) -> str | None:
        """The next operator if it is one of `wanted`, consumed."""
        token = self._look()
        if token is None:
            return None
        text = _WORD_SIGNS.get(token.text, token.text)
        length = 1
        if token.kind == "word" and text in ("divided", "multiplied") and self._text(1) == "by":
            text, length = ("/" if text == "divided" else "*"), 2
        elif self._is_times() or (text == "of" and self._tokens[self.at - 1].text in ("%", "percent", ")")):
            text = "*"
        if token.kind in ("word", "sign") and text in wanted:
            self.at += length
            self.operations += 1
            return text
        return None

    def _text(self, ahead: int) -> str:
        token = self._look(ahead)
        return token.text if token is not None else ""

    def _factor(self, depth: int) -> Terms:
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
        value = self._atom(depth)
        if self._is("%", "percent"):
            self.at += 1
            value = value * self._percent
        if self._is("^"):
            value = self._power(value, depth)
        while self._is("$"):
            self.at += 1
        self._words()
        return value

    def _atom(self, depth: int) -> Terms:
        """A number, a letter or what stands in brackets; and the factorial of it."""
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
            value = Terms.number(self._number(token))
        elif _is_letter(token) and not self._is_article():
            self.at += 1
            value = Terms.letter(IMAGINARY if token.text == "i" and self._imaginary else token.text)
        else:
            raise Unreadable
        if self._is_factorial():
            self.at += 1
            self.operations += 1
            if not value.is_number:
                raise Unreadable
            value = Terms.number(value.constant.factorial())
        return value

    def _is_article(self) -> bool:
        token, follows = self._look(), self._look(1)
        return (
            token is not None and token.text in _NO_VARIABLES and follows is not None and follows.kind == "word"
        ) and not follows.glued

    def _is_factorial(self) -> bool:
        """Whether the exclamation mark here computes. At the end of a sentence it may as well exclaim."""
        mark = self._look()
        if mark is None or mark.text != "!" or not mark.glued or self.at + 1 >= len(self._tokens):
            return False
        follows = self._tokens[self.at + 1]
        return follows.kind in ("sign", "number") or (follows.kind == "word" and follows.text.islower())

    def _number(self, token: Token) -> Interval:
        if len(token.text) > _MAX_DIGITS or re.match(r"0\d", token.text):
            raise Unreadable
        self.at += 1
        if token.text == "π":
            self.operations += 1  # no literal: what stands beside it was computed
            return PI
        places = len(token.text.partition(".")[2])
        value = Fraction(token.text)
        self.numbers.append(value)
        self._places.append(places)
        half = Fraction(1, 2 * 10**places) if places else Fraction(0)
        return Interval(value - half, value + half)

    def _power(self, base: Terms, depth: int) -> Terms:
        self.at += 1
        self.operations += 1
        exponent = self._factor(depth + 1)
        if not exponent.is_number or not exponent.constant.exact or self._is("^"):
            raise Unreadable
        return base.power(exponent.constant.low)

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
            if glued and len(word.text) == 1:
                return  # a variable
            if re.fullmatch(r"[A-Z]{2}", word.text) and word.text not in CAPITAL_UNITS:
                raise Unreadable  # a segment
            article = word.text == "a" and (follows := self._look(1)) is not None and follows.kind == "word"
            if (len(word.text) == 1 and not article) or (glued and word.text.lower() not in GLUED_UNITS):
                raise Unreadable  # a variable, or a number with a letter
            if not slash and count == 0:
                self.units.add(_singular(word.text))
            self.at += 2 if slash else 1
            if self._is("^"):
                self.at += 2


def _singular(word: str) -> str:
    word = word.lower()
    return {"feet": "foot", "inches": "inch", "pennies": "penny"}.get(word, word.removesuffix("s"))
