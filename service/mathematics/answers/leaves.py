r"""Parts of answers without inner structure: what is certain about two of them without algebra.

A leaf that is asked about `\approx 2.65` is asked whether that is the other's rounding.

Policy: letters keep their case, words do not; primes and number bases must agree; words inside a formula must agree;
more leading zeros than a three-digit answer has (007) make no number.
"""

import re
from collections.abc import Callable
from fractions import Fraction

from rewright.service.mathematics.answers.arithmetic import same_value, value_of
from rewright.service.mathematics.answers.normalisation import is_words
from rewright.service.mathematics.answers.notation import marks_differ
from rewright.service.mathematics.answers.numbers import is_rounding, numbers_equal, read_number
from rewright.service.mathematics.answers.ratios import same_time
from rewright.service.mathematics.answers.units import same_unit, split_unit
from rewright.service.mathematics.answers.wording import BASE_NAMES

Leaf = Callable[[str, str], bool | None]
ROUNDED = "\\approx"

_DIGITS = re.compile(r"[0-9]{1,400}")
_ENDLESS_ZEROS = re.compile(r"(?<![\d.,])0{4,}\d")
_BASED = re.compile(r"\(?([0-9A-Za-z]+)\)?_(?:\{(?:\\text\{)?(\d+|[a-z]+)\}?\}|(\d+))")
_BASE_TEN = re.compile(r"^\(?([0-9]+)\)?_(?:\{(?:10|\\text\{ten\})\}|10)$")
_ARTICLE = re.compile(r"^(?:an?|the) ")
_ROMAN = re.compile(r"[IVXLCDM]{2,}")
_WORDS = re.compile(r"\\text\{([^{}]{2,})\}")


def cheap_leaf(gold: str, prediction: str) -> bool | None:  # noqa: PLR0911 - one certainty each
    """What is certain about two parts without arithmetic or algebra."""
    if gold == prediction:
        return True
    if ("0000" in gold and _ENDLESS_ZEROS.search(gold)) or ("0000" in prediction and _ENDLESS_ZEROS.search(prediction)):
        return False
    if _DIGITS.fullmatch(gold) and _DIGITS.fullmatch(prediction):
        return int(gold) == int(prediction)
    if prediction.startswith(ROUNDED):
        return _is_rounding(gold, prediction.removeprefix(ROUNDED).strip())
    if (time := same_time(gold, prediction)) is not None:
        return time
    values = same_unit(gold, prediction)
    if values is None:
        return False
    value, their_value = values
    mine, yours = read_number(value), read_number(their_value)
    if (yours is not None and yours.percent and split_unit(gold)[1] is not None) or (
        mine is not None and mine.percent and split_unit(prediction)[1] is not None
    ):
        return False
    if mine is not None and yours is not None:
        return numbers_equal(mine, yours)
    if (is_words(gold) and is_words(prediction)) or "no" in (gold.casefold(), prediction.casefold()):
        return _without_article(gold) == _without_article(prediction)
    value, their_value = _BASE_TEN.sub(r"\1", value), _BASE_TEN.sub(r"\1", their_value)
    if value == their_value:
        return True
    based, their_based = _BASED.fullmatch(value), _BASED.fullmatch(their_value)
    if (based and _is_based(based, their_based)) or (their_based and _is_based(their_based, based)):
        return bool(based and their_based and _digits_and_base(based) == _digits_and_base(their_based))
    if _ROMAN.fullmatch(gold) and _ROMAN.fullmatch(prediction):
        return False
    return False if marks_differ(gold, prediction) else None


def arithmetic_leaf(gold: str, prediction: str) -> bool | None:
    """What is certain about two parts without algebra but with arithmetic: the parent's leaf."""
    certain = cheap_leaf(gold, prediction)
    if certain is not None:
        return certain
    if prediction.startswith(ROUNDED):
        rounding = prediction.removeprefix(ROUNDED).strip()
        values = same_unit(gold, rounding)
        value = value_of(values[0]) if values is not None else None
        return None if value is None or values is None else is_rounding(Fraction(value), values[1])
    values = same_unit(gold, prediction)
    return same_value(*values) if values is not None else False


def words_differ(gold: str, prediction: str) -> bool:
    """Two values without their units hold other words."""
    if "\\text{" not in gold and "\\text{" not in prediction:
        return False
    mine, yours = (sorted(word.strip().casefold() for word in _WORDS.findall(text)) for text in (gold, prediction))
    return mine != yours


def _is_rounding(exact: str, rounding: str) -> bool | None:
    values = same_unit(exact, rounding)
    if values is None or (shown := read_number(values[1])) is None:
        return False
    number = read_number(values[0])
    if number is None:
        return None
    # A share and its percentage are the same number.
    value = number.value / 100 if number.percent else number.value
    return is_rounding(value, values[1]) or (
        number.percent and not shown.percent and is_rounding(number.value, values[1])
    )


def _is_based(text: re.Match[str], other: re.Match[str] | None) -> bool:
    """A numeral with a base: x_2 is a symbol, and F_16 one beside another symbol."""
    return text[1][0].isdigit() or (other is not None and other[1][0].isdigit())


def _digits_and_base(match: re.Match[str]) -> tuple[str, str]:
    base: str = match[2] or match[3]
    return match[1].lower().lstrip("0"), BASE_NAMES.get(base, base)


def _without_article(words: str) -> str:
    return _ARTICLE.sub("", words.casefold())
