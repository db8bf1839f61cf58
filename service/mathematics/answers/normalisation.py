"""One spelling for answers that differ in typesetting alone.

Changes nothing that carries meaning: case, signs, primes, subscripts, brackets, the order of parts. Characters that
only look like digits or that turn the reading direction are left as they are, so that they equal nothing.

`split_unit` takes a unit off a value. Policy: a unit on one side only is ignored (18 dollars and 18); two units must
agree.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

MAX_CHARACTERS = 4_000

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": "\\times ", "·": "\\cdot ", "⋅": "\\cdot ", "÷": "/", "π": "\\pi ",
        "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∈": "\\in ", "±": "\\pm ",
        "°": "^\\circ ", "％": "%", "（": "(", "）": ")", "，": ",", "：": ":", "；": ";",
        "。": ".", "’": "'", "′": "'", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "½": "\\frac{1}{2}",
        "`": " ", "√": "\\surd ", "∅": "\\emptyset ",
    }
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)  # fmt: skip
_RAISED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_CURRENCIES = {"€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_SCALES = {"dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_ANGLE = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)\s*\\text\{degrees?\}")


def _money(amount: re.Match[str]) -> str:
    return f"{amount[2] or amount[3]} \\text{{{_CURRENCIES.get(amount[1] or amount[4], 'dollar')}}}"


def _scaled(amount: re.Match[str]) -> str:
    """1.25 million as 1250000, exactly."""
    value = Fraction(amount[1]) * _SCALES[amount[2]] if len(amount[1]) < 30 else Fraction(0, 1)
    return f"{value.numerator} " if value and value.denominator == 1 else amount[0]


_SPACE_RUNS = (r"\s{2,}", " ")
"""Before anything looks for white space, which would take time by the square of a run."""
_STEPS: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        _SPACE_RUNS,
        # Text that was escaped once too often: \\frac for \frac, a literal \n for a new line.
        (r"\\\\(?=(?:[dtc]?frac|boxed|sqrt|left|right|text|pi|cdot|times)(?![a-z]))", r"\\"),
        (r"\\n(?![A-Za-z])", " "),
        (r"[⁺⁻⁰¹²³⁴-⁹]+", lambda m: "^{" + m[0].translate(_RAISED) + "}"),
        (r"^\s*(?:\\\$|([€£¥₹]))\s*([0-9][0-9.,{}]*)\s*$|^\s*([0-9][0-9.,]*)\s*([€£¥₹])\s*$", _money),
        (r"\\\$|[$€£¥₹]", ""),
        (r"^\s*(?:=|\\(?:approx|to|rightarrow|Rightarrow)(?![a-z]))(?!=)", ""),
        (r"(?<!\\)\\[()\[\]]", " "),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-z])\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits)(?![a-z])", ""),
        (r"(?<=[0-9],)\\!(?=[0-9]{3})", ""),
        (r"(?<!\\)\\[!;:, ]|~|\\q?quad(?![a-z])|\\hspace\{[^{}]*\}", " "),
        _SPACE_RUNS,
        (r"\\[dtc]frac(?![a-z])", r"\\frac"),
        (r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\{[^{}]*\})\s*([0-9a-zA-Z])", r"\1{\2}"),
        (r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (
            r"(?:(?<![a-zA-Z\\])sqrt|\\surd)\s*(?:\(([^()]*)\)|(?<=\\surd )([0-9]+|[A-Za-z]))",
            lambda m: f"\\sqrt{{{m[1] or m[2]}}}",
        ),
        (r"(?<=[0-9])(?:st|nd|rd|th)\b", ""),
        (r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
        (r"\\log_\{?e\}?(?![a-z])", r"\\ln "),
        (r"\{\s*([^{}\\]{1,30}?)\s*\\choose\s*([^{}\\]{1,30}?)\s*\}", r"\\binom{\1}{\2}"),
        (r"^\s*\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)\s*$", r"\\mathbb{R}"),
        (r"\\mathbb\s+([A-Z])", r"\\mathbb{\1}"),
        (r"\\varnothing(?![a-z])|\\\{\s*\\\}", r"\\emptyset "),
        (r"\\not\s*=", r"\\ne "),
        (r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)", r"\\times "),
        (
            r"(?<![\w.,])([0-9]+(?:\.[0-9]+)?)\s*(?:\\text\{\s*)?(hundred|thousand|million|billion|trillion|dozen)\b\s*\}?",
            _scaled,
        ),
        (
            r"(?<=[0-9])\s*(?:\\text\{\s*|\s)(squared|cubed|factorial)\b\s*\}?",
            lambda m: {"squared": "^{2}", "cubed": "^{3}", "factorial": "!"}[m[1]],
        ),
        (
            r"(?i)(?<=[0-9])\s*(?:\\text\{\s*([ap])\.?\s?m\.?\s*\}|([ap])\.?\s?m\.?(?=\s*\}?\s*$))",
            lambda m: f" {(m[1] or m[2]).lower()}m",
        ),
        (r"\{,\}", ","),
        (r"\*\*", "^"),
        (r"\^\{?\\(?:circ|degree)(?![a-z])\s*\}?|\\degree(?![a-z])", r" \\text{degree}"),
        (r"\\%", "%"),
        (r"(?i)(?<=[0-9}])\s*(?:percentage|percent|pct)\b|\\text\{\s*(?:percent|pct|percentage)\s*\}", "%"),
        (r"\\leq(?![a-z])|\\leqslant(?![a-z])|<=", r"\\le "),
        (r"\\geq(?![a-z])|\\geqslant(?![a-z])|>=", r"\\ge "),
        (r"\\lt(?![a-z])", "<"),
        (r"\\gt(?![a-z])", ">"),
        (r"\\neq(?![a-z])", r"\\ne "),
        (r"\\(?:lbrace)(?![a-z])", r"\\{"),
        (r"\\(?:rbrace)(?![a-z])", r"\\}"),
        (r"\\(?:mathrm|text|textrm)\{\s*([a-zA-Z])\s*\}", r"\1"),
        (r"\\(?:textbf|mathbf|boldsymbol|textit|mathit|emph|bf)\{([^{}]*)\}", r"\\text{\1}"),
        (r"\\(?:mbox|textnormal|textrm|mathrm|textsf|hbox)\{([^{}]*)\}", r"\\text{\1}"),
        (
            r"\\text\{\s*(?:,\s*)?(?:and|or)\s*\}|,?\s+(?:and|or)\s+(?=[-+\\(\[{0-9a-zA-Z])|(?<=\))(?:and|or)(?=\()",
            ", ",
        ),
        (r"\\begin\{[bB]?matrix\}", r"\\begin{pmatrix}"),
        (r"\\end\{[bB]?matrix\}", r"\\end{pmatrix}"),
        (r"[(\[]\s*\\begin\{array\}\{[clr|]*\}", r"\\begin{pmatrix}"),
        (r"\\end\{array\}\s*[)\]]", r"\\end{pmatrix}"),
        (r"\*\*|__", ""),
    )
]
_INTEGER = re.compile(r"-?[0-9]{1,30}")
_SPACES = re.compile(r"\s+")
_TEXT_ALONE = re.compile(r"\\text\{([^{}]*)\}")
_BARE_WORDS = re.compile(r"[A-Za-z][A-Za-z .'-]*")
_UNIT = re.compile(
    r"(?:\\text\{\s*([A-Za-z][A-Za-z ./]*?)\s*\}"
    r"|(?<=[0-9}) ])\s*([A-Za-z][A-Za-z]+(?:[ /][A-Za-z]+){0,3})|(?<=[0-9}]) ([mgslh](?:/[a-z]+)?))(\^\{?[23]\}?)?$"
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
    "mph": "mile per hour", "kph": "km/hour", "km/h": "km/hour", "rad": "radian", "yd": "yard", "metres": "m",
}  # fmt: skip


def normalise(text: str) -> str:
    """The canonical spelling. Texts past MAX_CHARACTERS only lose their outer white space."""
    if _INTEGER.fullmatch(text):
        return text
    if len(text) > MAX_CHARACTERS:
        return text.strip()
    return _short(text) if len(text) <= 200 else _normalised(text)


def _normalised(text: str) -> str:
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    text = _unwrap(text.strip().rstrip(".,;: \n")).strip()
    if match := _TEXT_ALONE.fullmatch(text):
        text = match[1].strip()
    if "degree" in text and _TRIGONOMETRY.search(text):
        text = _ANGLE.sub(r"(\\frac{\1\\pi}{180})", text)
    return _tighten(text)


_short = lru_cache(maxsize=10_000)(_normalised)


_ENDS_IN_DIGIT_COMMA = re.compile(r"[0-9],$")
_THREE_DIGITS = re.compile(r"[0-9]{3}(?![0-9])")


def _tighten(text: str) -> str:
    """White space goes, but for one space between two word characters, where it may separate, and after the comma of
    "104, 105", which without it would be a number with a thousands separator."""
    parts: list[str] = []
    for part in _SPACES.split(text.strip()):
        if parts and (
            (parts[-1][-1:].isalnum() and part[:1].isalnum())
            or (_ENDS_IN_DIGIT_COMMA.search(parts[-1]) and _THREE_DIGITS.match(part))
        ):
            parts.append(" ")
        parts.append(part)
    return "".join(parts)


def _unwrap(text: str) -> str:
    """Take off a box or a pair of braces around the whole."""
    for _ in range(4):
        inner = re.sub(r"^\\f?box(?:ed)?\s*(?=\{)", "", text)
        if not (inner.startswith("{") and closing_brace(inner, 0) == len(inner) - 1):
            return text
        text = inner[1:-1].strip()
    return text


def closing_brace(text: str, start: int, within: int | None = None) -> int | None:
    """The place of the brace that closes the one at `start`; None where there is none, or none `within` so many
    characters. Escaped braces do not count."""
    depth, place = 0, start
    last = len(text) if within is None else min(len(text), start + within)
    while place < last:
        character = text[place]
        if character == "\\":
            place += 2
            continue
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return place
        place += 1
    return None


def split_unit(text: str) -> tuple[str, str | None]:
    """Value and unit of a normalised text; the unit is None where there is none, or nothing before it to measure."""
    match = _UNIT.search(text[-120:])
    if match is None:
        return text, None
    value = text[: len(text) - (len(match[0]))].strip()
    if not re.search(r"\d", value) or value.endswith(("_", "^", "\\", "/", "+", "-", "*", "=")):
        return text, None
    written = match[1] or match[2] or match[3]
    if match[2] and len(written) <= 3 and not _SHORT_UNITS.fullmatch(written):
        return text, None  # a product of symbols, such as 3xy
    if _TRIGONOMETRY.search(value):
        return text, None
    return value, _unit(written, (match[4] or "").strip("{}^"))


def _unit(written: str, power: str) -> str:
    """One name a unit: the singular, `inch2` for square inches; the first letter's case tells mW from MW."""
    words = written if len(written) <= 3 and written[0] in "mM" else written.lower()
    if area := re.match(r"(sq(?:uare|\.)?|cubic|cu\.?)\s+", words):
        words, power = words[area.end() :], "2" if words[0] == "s" else "3"
    singular = (word.removesuffix("s") if len(word) > 2 else word for word in words.split())
    return " ".join(_SYNONYMS.get(word, word) for word in singular) + power


def is_words(text: str) -> bool:
    """A normalised text of words alone, such as `even` or `no solution`; R-r and PV-nRT are formulas."""
    return (
        _BARE_WORDS.fullmatch(text) is not None
        and len(text) >= 3
        and ("-" not in text or all(len(part) >= 3 for part in text.split("-")))
    )
