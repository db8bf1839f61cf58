r"""The values that stand in prose, each read whole: formulas, numbers, and what is said in more than one of them.

Promises: `2 1/2`, `3:30 p.m.`, `2 hours and 30 minutes`, `14 March`, `April 14, 2020`, `3 thousand` and the ratio
`3 to 4` are one value each, never a part of one; `2 dollars and 50 cents` are 2.50, 5'6" is 5 feet 6 inches,
and a calculation that no `=` follows is one value.  A known unit stays with its number.
Numbers that name a place are no values: those of a list ("3."), a citation ("[3]"), a step, a theorem or an equation,
and those of asides to the reader ("the 4 of you").
Not covered: numbers in words; units beyond the common ones.
"""

import re
from dataclasses import dataclass

FORMULA = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\(((?:[^\\]|\\[^()]){1,2000}?)\\\)|\\\[((?:[^\\]"
    r"|\\[^\[\]]){1,4000}?)\\\]"
)
NUMBER_TOKEN = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_UNIT = (
    r"(?:[cmk]m|[mk]?g|m|[cm]?l|h|s|lbs?|oz|ft|in|yds?|mi|mph|kph|hrs?|mins?|secs?|kwh?|hours?|minutes?|seconds?|days?"
    r"|weeks?|months?|years?|feet|foot|inch(?:es)?|yards?|miles?|pounds?|ounces?|gallons?|quarts?|pints?|dollars?"
    r"|cents?|kilomet(?:er|re)s?|met(?:er|re)s?|centimet(?:er|re)s?|kilograms?|grams?|lit(?:er|re)s?|degrees?)"
)
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9.,^_{{/])(?<!\d:)(?<![A-Za-z]\()[-−]?"
    rf"(?:\d{{1,2}}:\d\d(?::\d\d)?(?:\s?[ap]\.?\s?m\b\.?)?|\d+(?::\d+){{1,3}}|\d+(?: : \d+){{1,3}}"
    rf"|\d+(?: [x×] \d+){{2,3}}(?! ?=)|\d+(?: and |[ -])\d+/\d+|\d{{1,2}}\s?[ap]\.?m\b\.?"
    rf"|(?:\d{{1,3}}(?:(?:,|\{{,\}})\d{{3}})+(?!\d)|\d+(?:/\d+)?|(?=\.\d))(?:\.\d+)?(?:\s*(?:\\?%|percent\b|pct\b)|\s?π)?)"
    rf"(?:(?={_UNIT}(?![\w^²³]))|(?![A-Za-z0-9^_{{]))",
    re.IGNORECASE,
)
_DATE = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?(?!\d)(?:,?\s+\d{{4}}(?!\d))?|{_MONTH},?\s+\d{{4}}(?!\d)"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}}(?!\d))?|\d{{4}}-\d\d-\d\d(?!\d)"
    rf"|\d{{1,2}}/\d{{1,2}}/(?:\d\d){{1,2}}(?!\d))"
)
_MAY_DATE = re.compile(r"[JFMASOND][a-z]{2}|\d[-/]\d")
_FEET = re.compile(r"(?<![\w.,])(\d{1,3})\s?['′’]\s?(\d{1,2}(?:\.\d+)?)\s?(?:[\"″”]|'')")
_DEGREES = re.compile(r"(?<![\w.,])\d{1,3}\s?°\s?\d{1,2}\s?['′’](?:\s?\d{1,2}(?:\.\d+)?\s?(?:[\"″”]|''))?")
_MONEY = re.compile(
    r"(?:(?<![\w.,])(?P<sign>\\?[$£€₹])\s?(?P<marked>\d[\d,]*)|(?<![\w.,$£€₹])(?P<named>\d[\d,]*)\s+"
    r"(?P<name>dollars?|pounds?|euros?|rupees?|rubles?|roubles?|bucks))"
    r"(?:\s*,)?\s+(?:and\s+)?(?P<small>\d{1,2})\s?(?:cents?|pence|p|c|paise|paisa|kope[cy]ks?)(?![A-Za-z])"
)
_SMALL_COIN = re.compile(r"\d\s?(?:[cp]\b|cents?|pence|pais|kope)")
_CURRENCIES = {"$": "dollars", "£": "pounds", "€": "euros", "₹": "rupees"}
_RANGE = re.compile(
    r"\b(?:between|(?:somewhere|anywhere)\s+(?:from|between))\s+\$?(\d[\d.,]*(?<![.,]))\s+(?:and|to)\s+\$?(\d[\d.,]*(?<![.,]))"
    r"(?![\w^])",
    re.IGNORECASE,
)
_OPERAND = r"(?:\d[\d.,]*(?<![.,])|\(\d[^()\n]{0,40}\))"
_CALCULATION = re.compile(
    rf"(?<![\w.,^{{/$)\-])(?<![-+*/×÷·^−=] ){_OPERAND}"
    rf"(?:\s*(?:\*\*|[*×÷·^+])\s*{_OPERAND}|\s+[-−/]\s+{_OPERAND}){{1,8}}"
    r"(?![\w^*(])(?!\s*(?:[-+*/×÷·^−=≈(]|x\s*\d))"
)
_SCALE = re.compile(r"[ -](?:hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_MEASURED = re.compile(rf"(?! in\b)[ -]?({_UNIT})(?![\w^²³/])(?!\s+(?:per|an?|each|every)\b)", re.IGNORECASE)
_SECOND_MEASURE = re.compile(rf"(?:,?\s+and\s+|,?\s+)(\d+(?:\.\d+)?(?:/\d+)?)[ -]?({_UNIT})(?![\w^²³/])", re.IGNORECASE)
_SMALLER = {
    "year": "mo da we", "week": "da", "day": "ho hr mi", "hour": "mi se", "hr": "mi se", "h": "mi m", "minute": "se s",
    "min": "se s", "feet": "in", "foot": "in", "ft": "in", "yard": "fe fo ft in", "yd": "fe ft in", "mile": "ya fe",
    "pound": "ou oz", "lb": "ou oz", "gallon": "qu pi", "quart": "pi", "km": "m me", "kilometer": "me", "m": "cm ce",
    "meter": "ce cm", "kg": "g gr", "kilogram": "gr", "dollar": "ce", "degree": "mi", "month": "da we",
}  # fmt: skip
"""By unit, how the names of smaller ones start that the same quantity may go on in."""
_RATIO = re.compile(r"\s+(?:is\s+)?to\s+(\d+(?:\.\d+)?)(?![\w^])")
_OF_RATIOS = re.compile(r"\b(?:ratio|odds|proportion)\b", re.IGNORECASE)
_PLACE_BEFORE = re.compile(
    r"(?:\b(?:steps?|cases?|parts?|theorems?|lemmas?|corollary|propositions?|eqs?|equations?|fig|figures?|tables?"
    r"|sections?|chapters?|footnotes?|exercises?|hints?|methods?|refs?|references?|lines?|nos?|vol|pp|versions?"
    r"|(?:see|shown\s+[io]n|discussed\s+[io]n|similar\s+to)\s+(?:problems?|pages?|questions?))\.?"
    r"(?:[\s#(\[]+\d{1,3}[)\]]?(?:\s*,|\s+(?:and|to))?)?[\s#(\[]*|§\s*"
    r"|\((?:see|cf\.?)\s[^()\n]{0,30})$",
    re.IGNORECASE,
)
_CITED = re.compile(
    r"(?:^|\n|\b(?:in|see|by|from|of|to|and|also|per|following|cites?|cited|source|sources|references?)\s+|\bcf\.\s*)"
    r"\[\d{1,3}(?:\s*[,–-]\s*\d{1,3})*\](?=\s|[.,;)])"
    r"|\[\d{1,2}\](?=\s+[A-Z])|[A-Z][a-z]+\s+\((?:19|20)\d\d[a-z]?\)|\([^()\n]{1,40},\s*(?:19|20)\d\d[a-z]?\)"
)
_LINE_MARK = re.compile(r"(?:^|\n)[ \t>]*[(*#]{0,4}$")
_INLINE_MARK = re.compile(r"\)\s+[A-Za-z]")
_MARK_BEHIND = re.compile(r"[.):]\**(?=\s+\S)")
_MARK_AT_END = re.compile(r"[.):]?\**\s*$")
_OF_YOU = re.compile(r"\s+of\s+(?:you|us)\b", re.IGNORECASE)
_AMOUNT_SIGN = re.compile(r"\\?\$(?=\s?\d|\.\d)")
_PERCENT = re.compile(r"\s*(\\?%|percent\b|pct\b)")


@dataclass(frozen=True, slots=True)
class Value:
    """text[start:end] of what was read; `text`: how it is compared."""

    start: int
    end: int
    text: str
    is_formula: bool = False


def values(text: str) -> list[Value]:
    """In their order; `text` is a window of a few thousand characters."""
    several = _of_several(text)
    text = without_money_signs(text)
    found = [_formula(text, match) for match in FORMULA.finditer(text)]
    taken = [(value.start, value.end) for value in found]
    taken += [match.span() for match in _CITED.finditer(text)] if "[" in text or "(" in text else []
    several = [value for value in several if not any(start < value.end and value.start < end for start, end in taken)]
    found += several
    taken += [(value.start, value.end) for value in several]
    if _MAY_DATE.search(text):
        dates = [Value(*match.span(), match[0]) for match in _DATE.finditer(text)]
        dates = [date for date in dates if not any(start < date.end and date.start < end for start, end in taken)]
        found += dates
        taken += [(date.start, date.end) for date in dates]
    taken.sort()
    behind = at = 0
    for match in _NUMBER.finditer(text):
        while at < len(taken) and taken[at][1] <= match.start():
            at += 1
        if match.start() < behind or (at < len(taken) and taken[at][0] < match.end()):
            continue
        if not _names_a_place(text, match):
            value = _measured(text, match)
            behind = value.end
            found.append(value)
    return sorted(found, key=lambda value: value.start)


def _of_several(text: str) -> list[Value]:
    """What is one value although it is written as several: feet and inches, two coins, a range, a calculation."""
    found: list[Value] = []
    if "'" in text or "′" in text or "’" in text:
        found += [Value(*match.span(), f"{match[1]} feet {match[2]} inches") for match in _FEET.finditer(text)]
        found += [Value(*match.span(), match[0]) for match in _DEGREES.finditer(text)]
    for match in _MONEY.finditer(text) if _SMALL_COIN.search(text) else ():
        whole = match["marked"] or match["named"]
        currency = match["name"] or _CURRENCIES[match["sign"][-1]]
        found.append(Value(*match.span(), f"{whole}.{int(match['small']):02d} {currency}"))
    found += [Value(*match.span(), f"{match[1]} \\text{{ to }} {match[2]}") for match in _RANGE.finditer(text)]
    found += [Value(*match.span(), match[0].replace("**", "^")) for match in _CALCULATION.finditer(text)]
    return found


def without_money_signs(text: str) -> str:
    """Dollar signs that stand before amounts alone, not around formulas, are blanked, line by line."""
    if "$" not in text:
        return text
    return "\n".join(_blanked(line) if "$" in line else line for line in text.split("\n"))


def _blanked(line: str) -> str:
    amounts = list(_AMOUNT_SIGN.finditer(line))
    if len(amounts) != line.count("$"):
        return line.replace("\\$", "  ") if line.count("$") == line.count("\\$") else line
    return _AMOUNT_SIGN.sub(lambda sign: " " * len(sign[0]), line)


def content_of(formula: re.Match[str]) -> str:
    """What a match of `FORMULA` holds between its signs."""
    return next(group for group in formula.groups() if group is not None).strip()


def _formula(text: str, match: re.Match[str]) -> Value:
    content = content_of(match)
    percent = _PERCENT.match(text[match.end() : match.end() + 20])
    return Value(match.start(), match.end(), content + percent[1] if percent else content, is_formula=True)


def _names_a_place(text: str, match: re.Match[str]) -> bool:
    before = text[max(0, match.start() - 60) : match.start()]
    if _PLACE_BEFORE.search(before) or _OF_YOU.match(text[match.end() : match.end() + 12]):
        return True
    if not match[0].isdigit() or len(match[0]) > 2:
        return False
    if _INLINE_MARK.match(text[match.end() : match.end() + 4]) and before.count("(") <= before.count(")"):
        return True
    if _LINE_MARK.search(before):
        if _MARK_BEHIND.match(text[match.end() : match.end() + 20]):
            return True
        return (
            int(match[0]) > 1
            and _MARK_AT_END.match(text[match.end() : match.end() + 20]) is not None
            and _counts_up(text[: match.start()], int(match[0]), line=True)
        )
    return text[match.end() : match.end() + 1] in (".", ")") and _counts_up(text[: match.start()], int(match[0]))


def _counts_up(before: str, number: int, *, line: bool = False) -> bool:
    """Every mark from 1 to `number` - 1 stands before, in this order: a list."""
    if number < 2 or number > 20:
        return False
    place = 0
    for mark in range(1, number):
        found = re.compile(rf"(?:^|\n)[ \t>]*[(*#]{{0,4}}{mark}[.):]" if line else rf"(?<![\w.]){mark}[.)]\s").search(
            before, place
        )
        if found is None:
            return False
        place = found.end()
    return True


def _measured(text: str, match: re.Match[str]) -> Value:
    """The number with its scale, unit and second part."""
    start, end = match.span()
    number = match[0].strip().replace(" and ", " ").replace("{,}", ",")
    if scale := _SCALE.match(text[end : end + 12]):
        return Value(start, end + scale.end(), f"{number} {scale[0][1:]}")
    if (ratio := _RATIO.match(text[end : end + 24])) and _OF_RATIOS.search(text[max(0, start - 100) : start]):
        return Value(start, end + ratio.end(), f"{number}:{ratio[1]}")
    unit = _MEASURED.match(text[end : end + 30])
    if unit is None:
        return Value(start, end, number)
    whole = end + unit.end()
    second = _SECOND_MEASURE.match(text[whole : whole + 50])
    name = unit[1].lower()
    if second and second[2].lower().startswith(
        tuple(_SMALLER.get(name, _SMALLER.get(name.removesuffix("s"), "?")).split())
    ):
        return Value(start, whole + second.end(), text[start : whole + second.end()])
    return Value(start, whole, f"{number} {unit[1]}")
