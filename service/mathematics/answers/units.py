r"""Units behind values: what is one, which are the same, and values brought to one unit.

Policy: a unit on one side only is ignored (18 dollars and 18); two units must agree, but for what is converted without
loss: cents and dollars, degrees and radians (30° is π/6, and 30 is not). Words that are numbers, operators, denials or
conditions are no units (`rewright.service.mathematics.answers.wording`).
"""

import re
from functools import lru_cache

from rewright.service.mathematics.answers.numbers import read_number
from rewright.service.mathematics.answers.wording import is_unit

TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_UNIT = re.compile(
    r"(?:\\text\{\s*\(?([A-Za-z][A-Za-z ./]*?)\s*\)?\}"
    r"|(?<=[0-9}) ])\s*([A-Za-z][A-Za-z]+(?:[ /][A-Za-z]+){0,3})|(?<=[0-9}]) ([mgslhLJVW](?:/[a-z]+)?))(\^\{?[23]\}?)?$"
)
# Words of two or three letters after a number that are units and no product of symbols.
_SHORT_UNITS = re.compile(
    r"[cmkdn]m|[mk]g|mcg|[mcd]l|in|ft|yd|mi|oz|lbs?|gal|pt|qt|hrs?|min|sec|[mn]s|day|[ap]m|rad|deg|mph|kph|rpm"
    r"|[kmg]?hz|[km]w|[km]j|[mk]v|ma|k?pa|mol|usd|eur|gbp|yen|[kmgt]b|cup|box|m[ea]n|boy|ton|sq|cu|car|dog|cat|egg"
    r"|hen|pie|bag|bus|can|cow|pen|pig|toy|way|set|row",
    re.IGNORECASE,
)
_SYNONYMS = {
    "centimeter": "cm", "centimetre": "cm", "meter": "m", "metre": "m", "kilometer": "km", "kilometre": "km",
    "millimeter": "mm", "inche": "inch", "feet": "foot", "ft": "foot", "hr": "hour", "h": "hour", "min": "minute",
    "sec": "second", "s": "second", "gram": "g", "kilogram": "kg", "liter": "l", "litre": "l", "deg": "degree",
    "usd": "dollar", "eur": "euro", "gbp": "pound", "mi": "mile", "in": "inch", "lb": "pound", "lbs": "pound",
    "mph": "mile/hour", "kph": "km/hour", "rad": "radian", "yd": "yard", "metres": "m",
    "celsiu": "c", "fahrenheit": "f",
}  # fmt: skip

_MEASURES = (
    {"dollar", "cent"},
    {"second", "minute", "hour", "day", "week", "month", "year"},
    {"mm", "cm", "m", "km", "inch", "foot", "yard", "mile"},
    {"mg", "g", "kg", "ounce", "pound"},
    {"ml", "l", "pint", "quart", "gallon"},
)
"""Units of one measure each."""


def are_of_one_measure(unit: str, other: str) -> bool:
    """Both names, as `split_unit` gives them, are units of one measure: minutes and hours."""
    return any({unit, other} <= measure for measure in _MEASURES)


def split_unit(text: str) -> tuple[str, str | None]:
    """Value and unit of a normalised text; the unit is None where there is none, or nothing before it to measure."""
    return _short_split(text) if len(text) <= 200 else _split_unit(text)


def _split_unit(text: str) -> tuple[str, str | None]:
    match = _UNIT.search(text[-120:]) if text[-1:].isalpha() or text[-1:] in ("}", "2", "3") else None
    if match is None:
        return text, None
    value = text[: len(text) - (len(match[0]))].strip()
    if not re.search(r"\d|\\pi(?![a-z])", value) or value.endswith(("_", "^", "\\", "/", "+", "-", "*", "=")):
        return text, None
    written = match[1] or match[2] or match[3]
    if match[2] and len(written) <= 3 and not _SHORT_UNITS.fullmatch(written):
        return text, None  # a product of symbols, such as 3xy
    if TRIGONOMETRY.search(value) or not is_unit(written):
        return text, None
    if value.endswith("\\text{degree}"):
        value, written = value.removesuffix("\\text{degree}"), "degree " + written  # of Celsius or Fahrenheit
    return value, _unit(written, (match[4] or "").strip("{}^"))


_short_split = lru_cache(maxsize=10_000)(_split_unit)


def _unit(written: str, power: str) -> str:
    """One name a unit: the singular, `inch2` for square inches; the first letter's case tells mW from MW."""
    words = written if len(written) <= 3 and written[0] in "mM" else written.lower()
    if area := re.match(r"(sq(?:uare|\.)?|cubic|cu\.?)\s+", words):
        words, power = words[area.end() :], "2" if words[0] == "s" else "3"
    elif area := re.search(r"\s+(squared|cubed)$", words):
        words, power = words[: area.start()], "2" if area[1] == "squared" else "3"
    words = re.sub(r"\s+per\s+|\s*/\s*", "/", words)
    singular = (word.removesuffix("s") if len(word) > 2 else word for word in re.split(r"([ /])", words))
    return "".join(_SYNONYMS.get(word, word) for word in singular) + power


def same_unit(gold: str, prediction: str) -> tuple[str, str] | None:
    """The values of two normalised texts in one unit; None where their units differ."""
    (value, unit), (their_value, their_unit) = split_unit(gold), split_unit(prediction)
    if unit is None and their_unit is None:
        return value, their_value
    if unit == their_unit:
        return value, their_value
    if "cent" in (unit, their_unit) and "dollar" in (unit, their_unit):
        return _in_cents(value, unit), _in_cents(their_value, their_unit)
    if "degree" in (unit, their_unit) and _is_radians(
        *((their_value, their_unit) if unit == "degree" else (value, unit))
    ):
        return _in_radians(value, unit), _in_radians(their_value, their_unit)
    if unit is not None and their_unit is not None:
        return None
    return value, their_value


def _is_radians(value: str, unit: str | None) -> bool:
    return unit == "radian" or (unit is None and "\\pi" in value)


def _in_cents(value: str, unit: str | None) -> str:
    if unit == "cent":
        return value
    number = read_number(value)
    cents = number.value * 100 if number is not None else None
    if cents is None:
        return f"100({value})"
    return str(cents.numerator) if cents.denominator == 1 else f"\\frac{{{cents.numerator}}}{{{cents.denominator}}}"


def _in_radians(value: str, unit: str | None) -> str:
    return f"\\frac{{({value})\\pi}}{{180}}" if unit == "degree" else value
