r"""Exact values of plain numbers: integers, decimals, fractions, mixed numbers, scientific notation, percentages.

Policy
- 28 % equals 28 % and 0.28; a bare number equals the percentage of the same figure where it is above 1 (28 and 28 %).
- A rounded decimal is another number: 11.67 is not 35/3, and 3.14159265 is not π (policy:rounding), since values that
  agree that far may still differ (355/113).
- A decimal of 15 to 18 significant digits is a printed binary float: it equals an exact value that it agrees with to
  12 digits, since floats gather noise.
- 0.58\overline{3}, 0.58\dot{3} and 0.58(3) are the repeating decimal. Otherwise equality is exact: two values however
  near are two values.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

_MAX_DIGITS = 400

_DECIMAL = r"(?:\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"([+-]*)({_DECIMAL})")
_THOUSANDS = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+)(\.\d+)?")
_FRACTION = re.compile(rf"([+-]*)\\frac\{{([+-]?{_DECIMAL})\}}\{{([+-]?{_DECIMAL})\}}")
_SLASH = re.compile(rf"([+-]*)({_DECIMAL})/({_DECIMAL})")
_MIXED = re.compile(r"([+-]?)(\d+) ?\\frac\{(\d+)\}\{(\d+)\}|([+-]?)(\d+) (\d+)/(\d+)")
_REPEATING = re.compile(r"([+-]*)(\d*)\.(\d*)\\(?:overline|bar)\{(\d+)\}")
_DOTTED = re.compile(r"([+-]*)(\d*)\.(\d*)(?:\\dot\{?(\d)\}?(?:(\d*)\\dot\{?(\d)\}?)?|\((\d+)\))")
_SCIENTIFIC = re.compile(
    rf"([+-]?{_DECIMAL})(?:(?:\\times ?|\\cdot ?|\*)10\^(?:\{{([+-]?\d+)\}}|(\d+))|[eE]([+-]?\d+))"
)
_POWER = re.compile(r"10\^(?:\{([+-]?\d+)\}|(\d+))")
_PERCENT = re.compile(r"\\?%$")


@dataclass(frozen=True, slots=True)
class Exact:
    """A rational value. `decimals`: places after the point where it was written as a decimal; `percent`: the value
    carries a percent sign, which `value` does not include."""

    value: Fraction
    decimals: int | None = None
    significant: int = 0
    percent: bool = False


def read_number(text: str) -> Exact | None:
    """The value of a normalised text that is a plain number and nothing else; None for all others."""
    if len(text) > _MAX_DIGITS or not text.isascii():
        return None
    bare = _PERCENT.sub("", text)
    while bare.startswith("(") and bare.endswith(")") and "(" not in bare[1:] and "," not in bare:
        bare = bare[1:-1]
    number = _read(bare)
    if number is None or bare == text:
        return number
    return Exact(number.value, number.decimals, number.significant, bare != text and text.endswith("%"))


def _read(text: str) -> Exact | None:  # noqa: PLR0911 - one way of writing each
    if m := _PLAIN.fullmatch(text):
        return _decimal(_sign(m[1]), m[2])
    if "\\" not in text and (m := _THOUSANDS.fullmatch(text)):
        return _decimal(_sign(m[1]), re.sub("[, ]", "", m[2]) + (m[3] or ""))
    if "/" in text or "\\frac" in text:
        return _quotient(text)
    if ("^" in text or "e" in text or "E" in text) and (m := _SCIENTIFIC.fullmatch(text)):
        exponent = int(m[2] or m[3] or m[4])
        return Exact(Fraction(m[1]) * _ten_to(exponent)) if abs(exponent) <= _MAX_DIGITS else None
    if "." in text and (m := _REPEATING.fullmatch(text)):
        return Exact(_sign(m[1]) * _repeating(m[2], m[3], m[4]))
    if "." in text and (m := _DOTTED.fullmatch(text)):
        return Exact(_sign(m[1]) * _repeating(m[2], m[3], m[7] or m[4] + (m[5] or "") + (m[6] or "")))
    if text.startswith("10^") and (m := _POWER.fullmatch(text)):
        exponent = int(m[1] or m[2])
        return Exact(_ten_to(exponent)) if abs(exponent) <= _MAX_DIGITS else None
    return None


def _quotient(text: str) -> Exact | None:
    if (m := _FRACTION.fullmatch(text)) or (m := _SLASH.fullmatch(text)):
        below = Fraction(m[3])
        return Exact(_sign(m[1]) * Fraction(m[2]) / below) if below else None
    if m := _MIXED.fullmatch(text):
        sign, whole, over, below_text = (m[1], m[2], m[3], m[4]) if m[2] else (m[5], m[6], m[7], m[8])
        if not int(below_text):
            return None
        return Exact(_sign(sign) * (int(whole) + Fraction(int(over), int(below_text))))
    return None


def _repeating(whole: str, before: str, again: str) -> Fraction:
    shift = 10 ** len(before)
    return Fraction(int(whole + before or "0"), shift) + Fraction(int(again), shift * (10 ** len(again) - 1))


def _ten_to(exponent: int) -> Fraction:
    return Fraction(10**exponent) if exponent >= 0 else Fraction(1, 10**-exponent)


def _sign(signs: str) -> int:
    return -1 if signs.count("-") % 2 else 1


def _decimal(sign: int, digits: str) -> Exact:
    _, point, places = digits.partition(".")
    return Exact(
        sign * Fraction(digits),
        len(places) if point else None,
        len(digits.replace(".", "").lstrip("0")),
    )


def numbers_equal(gold: Exact, prediction: Exact) -> bool:
    """The policy of this module's docstring."""
    if gold.percent != prediction.percent:
        signed, bare = (gold, prediction) if gold.percent else (prediction, gold)
        return (signed.value == bare.value and abs(bare.value) > 1) or signed.value / 100 == bare.value
    if gold.value == prediction.value:
        return True
    return prints(gold, prediction) or prints(prediction, gold)


def prints(exact: Exact, printed: Exact) -> bool:
    """`printed` is the printout of a binary float that stands for `exact`."""
    if printed.decimals is None or not 15 <= printed.significant <= 18 or exact.significant >= 15:
        return False
    return abs(printed.value - exact.value) <= abs(exact.value) * Fraction(1, 10**12)


_ROUNDED = re.compile(rf"([+-]?)({_DECIMAL})(?:(?:\\times ?|\\cdot ?|\*)10\^(?:\{{([+-]?\d+)\}}|(\d)))?(%?)")


def is_rounding(exact: Fraction, text: str) -> bool:
    """Whether the decimal `text` is `exact`, rounded to the places that it shows; 1200 may show hundreds. The last of
    three digits or more may be one off."""
    bare = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    match = _ROUNDED.fullmatch(bare) if len(bare) <= _MAX_DIGITS else None
    if match is None:
        return False
    exponent = int(match[3] or match[4] or "0") - (2 if match[5] else 0)
    if abs(exponent) > _MAX_DIGITS:
        return False
    _, _, places = match[2].partition(".")
    value = _sign(match[1]) * Fraction(match[2]) * _ten_to(exponent)
    last = _ten_to(exponent - len(places))
    # Many cut a long decimal off, or miss its last digit by one.
    loose = places and len(match[2].replace(".", "").lstrip("0")) >= 3
    if abs(value - exact) * (1 if loose else 2) <= last:
        return True
    zeros = len(match[2]) - len(match[2].rstrip("0")) if "." not in match[2] else 0
    return 0 < zeros <= len(match[2]) - 2 and abs(value - exact) * 2 <= last * 10**zeros
