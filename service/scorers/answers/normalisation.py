"""One spelling for answers that differ in typesetting alone.

Changes nothing that carries meaning: case, signs, primes, subscripts, brackets, the order of parts. Characters that
only look like digits or that turn the reading direction are left as they are, so that they equal nothing.

`split_unit` takes a unit off a value. Policy: a unit on one side only is ignored (18 dollars and 18); two units must
agree.
"""

import re

MAX_CHARACTERS = 4_000

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "—": "-", "×": "\\times ", "·": "\\cdot ", "⋅": "\\cdot ", "÷": "/", "π": "\\pi ",
        "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∈": "\\in ", "±": "\\pm ",
        "²": "^{2}", "³": "^{3}", "°": "^\\circ ", "％": "%", "（": "(", "）": ")", "，": ",", "：": ":", "；": ";",
        "。": ".", "’": "'", "′": "'", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u3000": " ", "½": "\\frac{1}{2}",
        "€": "", "£": "", "¥": "", "₹": "",
    }
    | {chr(0xFF10 + digit): str(digit) for digit in range(10)}
)  # fmt: skip
_STEPS: list[tuple[re.Pattern[str], str]] = [
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Text that was escaped once too often: \\frac for \frac, a literal \n for a new line.
        (r"\\\\(?=(?:[dtc]?frac|boxed|sqrt|left|right|text|pi|cdot|times)(?![a-z]))", r"\\"),
        (r"\\n(?![A-Za-z])", " "),
        (r"\\\$|\$", ""),
        (r"(?<!\\)\\[()\[\]]", " "),
        (r"\\(?:left|right|[bB]igg?[lr]?)(?![a-z])\.?", ""),
        (r"\\(?:displaystyle|textstyle|limits|nolimits)(?![a-z])", ""),
        (r"(?<!\\)\\[!;:, ]|~|\\q?quad(?![a-z])|\\hspace\{[^{}]*\}", " "),
        (r"\\[dtc]frac(?![a-z])", r"\\frac"),
        (r"\\frac\s*([0-9a-zA-Z])\s*([0-9a-zA-Z])", r"\\frac{\1}{\2}"),
        (r"\\frac\s*([0-9a-zA-Z])\s*\{", r"\\frac{\1}{"),
        (r"(\\frac\{[^{}]*\})\s*([0-9a-zA-Z])", r"\1{\2}"),
        (r"\\sqrt\s*([0-9a-zA-Z])", r"\\sqrt{\1}"),
        (r"(?<![a-zA-Z\\])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
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
_SPACES = re.compile(r"\s+")
_TEXT_ALONE = re.compile(r"\\text\{([^{}]*)\}")
_BARE_WORDS = re.compile(r"[A-Za-z][A-Za-z .'-]*")
_UNIT = re.compile(
    r"(?:\\text\{\s*([A-Za-z][A-Za-z ./]*?)\s*\}"
    r"|(?<=[0-9}) ])\s*([A-Za-z][A-Za-z]+(?: [A-Za-z]+){0,3})|(?<=[0-9}]) ([mgslh]))(\^\{?[23]\}?)?$"
)
_SYNONYMS = {
    "centimeter": "cm", "centimetre": "cm", "meter": "m", "metre": "m", "kilometer": "km", "kilometre": "km",
    "millimeter": "mm", "inche": "inch", "feet": "foot", "ft": "foot", "hr": "hour", "h": "hour", "min": "minute",
    "sec": "second", "s": "second", "gram": "g", "kilogram": "kg", "liter": "l", "litre": "l", "deg": "degree",
    "cent": "cent", "dollar": "dollar", "usd": "dollar", "mile": "mile", "mi": "mile",
}  # fmt: skip


def normalise(text: str) -> str:
    """The canonical spelling. Texts past MAX_CHARACTERS only lose their outer white space."""
    if len(text) > MAX_CHARACTERS:
        return text.strip()
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    text = _unwrap(text.strip().rstrip(".,;: \n")).strip()
    if match := _TEXT_ALONE.fullmatch(text):
        text = match[1].strip()
    return _tighten(text)


def _tighten(text: str) -> str:
    """White space goes, but for one space between two word characters, where it may separate."""
    parts: list[str] = []
    for part in _SPACES.split(text.strip()):
        if parts and parts[-1][-1:].isalnum() and part[:1].isalnum():
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


def closing_brace(text: str, start: int) -> int | None:
    """The place of the brace that closes the one at `start`; None where there is none. Escaped braces do not count."""
    depth, place = 0, start
    while place < len(text):
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
    words = (match[1] or match[2] or match[3]).lower().replace("square ", "sq").replace("sq ", "sq")
    singular = [word.removesuffix("s") if len(word) > 2 else word for word in words.split()]
    return value, " ".join(_SYNONYMS.get(word, word) for word in singular) + (match[4] or "").strip("{}^")


def is_words(text: str) -> bool:
    """A normalised text of words alone, such as `even` or `no solution`."""
    return len(text) >= 3 and _BARE_WORDS.fullmatch(text) is not None
