r"""What words beside a number say: numbers in words, conjunctions, percentages, times of day, bases, whole sentences.

English only. `meaning_of_words` gives the words that are part of the mathematics its notation; `is_twisted` and
`is_unit` know the words that make a number another number, deny it or tie it to a condition.
"""

import re
from fractions import Fraction

from rewright.service.mathematics.answers.typesetting import apply, steps

_SCALES = {
    "dozen": 12, "hundred": 10**2, "thousand": 10**3, "lakh": 10**5, "million": 10**6, "crore": 10**7,
    "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
_PARTS = {
    "half": 2, "halve": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "twelfth": 12, "sixteenth": 16, "twentieth": 20, "hundredth": 100, "thousandth": 1000,
    "millionth": 10**6,
}  # fmt: skip
_BASES = {"binary": "2", "octal": "8", "hexadecimal": "16", "hex": "16", "decimal": "10"}
BASE_NAMES = {
    "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "sixteen": "16",
}  # fmt: skip
NUMBERS_IN_WORDS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14",
    "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "dozen": "12", "a dozen": "12", "a hundred": "100", "a thousand": "1000",
}  # fmt: skip
_NUMBER_WORDS = (
    r"zeros?|ones?|twos?|threes?|fours?|fives?|six|sixes|sevens?|eights?|nines?|tens?|eleven|twelve|\w+teen|twenty"
    r"|thirty|forty|fifty|sixty|seventy|eighty|ninety|(?:hundred|thousand|\w+illion|lakh|crore)(?:s|ths?)?|dozens?|gross|[mbt]n"
    r"|scores?|nil|half|halves|halved|thirds?|fourths?|quarters?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?"
)
_OPERATORS = (
    r"plus|minus|than|multiplied|divided|over|added|subtracted|mod|modulo|power|below|above|under|beyond|doubled?"
    r"|tripled?|twice|thrice|negative|factorial|root|choose|squared|cubed|reciprocal|inverse|opposite|percent|exponent"
    r"|times(?= )(?! (?:per|in|each|every|daily|a (?:day|week|month|year|minute|second|hour))\b)"
)
_DENIALS = (
    r"not|no|never|none|neither|nor|cannot|without|except|but|wrong|incorrect|false|mistaken|invalid|impossible|unlike"
    r"|excluded|rejected|ruled|hardly|barely|fails?|\w*n't|contradiction|error|mistake"
)
_CONDITIONS = (
    r"if|when|whenever|unless|until|provided|while|where|otherwise|else|or|either|maybe|perhaps|possibly|probably"
    r"|likely|might|may|could|would|should|resp|respectively|versus|vs|least|most|some"
    r"|for(?= )(?! (?:each|every|all|the|an?|his|her|their|one)\b)"
)
_TWISTING = re.compile(rf"(?<![a-z])(?:{_OPERATORS}|{_DENIALS}|{_CONDITIONS})(?![a-z])", re.IGNORECASE)
_NO_UNIT = re.compile(rf"(?<![a-z])(?:{_NUMBER_WORDS}|{_OPERATORS}|{_DENIALS}|{_CONDITIONS})(?![a-z])", re.IGNORECASE)
_SQUARED_UNIT = re.compile(r"(?<=[a-z]) (?:squared|cubed)$")
_TURNED = re.compile(r"\b(?:half|third|quarter|square|cube|multiple|factor|log|logarithm) of\b", re.IGNORECASE)

_VALUE = r"(?<![\w.,])([0-9]+(?:\.[0-9]+)?)\s*(?P<opened>\\text\{\s*)?"
_CLOSED = r"(?(opened)\s*(?P<closed>\})?)"
_ABOUT = r"(?:approximately|approx\.?|about|roughly|nearly|around)(?:\s+equal\s+to)?\s*:?"


def _scaled(amount: re.Match[str]) -> str:
    """1.25 million as 1250000, exactly."""
    value = Fraction(amount[1]) if len(amount[1]) < 30 else Fraction(1, 3)
    for scale in amount["scale"].split():
        value *= _SCALES[scale.removesuffix("s")]
    return f"{value.numerator} {_reopened(amount)}" if value.denominator == 1 else amount[0]


def _parts(amount: re.Match[str]) -> str:
    return f"\\frac{{{amount[1]}}}{{{_PARTS[amount['part'].lower().removesuffix('s')]}}}{_reopened(amount)}"


def _reopened(amount: re.Match[str]) -> str:
    """The rest of `5 \\text{ hundred dollars}` is text still."""
    return "\\text{ " if amount["opened"] and not amount["closed"] else ""


def _based(amount: re.Match[str]) -> str:
    name = (amount[2] or amount[3]).lower()
    return f"{amount[1]}_{{{_BASES.get(name) or BASE_NAMES.get(name, name)}}}"


_SCALE_WORDS = r"(?:hundred|thousand|million|billion|trillion|dozen|lakh|crore)"
_PART_WORDS = "|".join(part for part in _PARTS if part not in ("half", "halve"))
_WORDS = steps(
    (
        "dollar",
        _VALUE + r"dollars?\s*(?:,?\s*and\b)?\s*\}?\s*([0-9]{1,2})\s*(?:\\text\{\s*)?cents?\b\s*\}?\s*$",
        lambda m: f"{m[1]}.{m[3]:0>2} \\text{{dollar}}" if "." not in m[1] else m[0],
    ),
    ("th", r"(?<=[0-9])(?:\^\{\s*\\text\{th\}\s*\}|\^\{th\}|\^\\text\{th\}|\s*\\text\{\s*th\s*\}|th\b)", ""),
    ("", r"(?<=[0-9])(?:\^\{\s*\\text\{(?:st|nd|rd)\}\s*\}|\^\{(?:st|nd|rd)\}|\^\\text\{(?:st|nd|rd)\})", ""),
    ("", r"(?<=[0-9])(?:\s*\\text\{\s*(?:st|nd|rd)\s*\}|(?:st|nd|rd)\b)", ""),
    ("", _VALUE + rf"(?P<scale>{_SCALE_WORDS}s?(?:\s+{_SCALE_WORDS}s?)*)\b{_CLOSED}", _scaled),
    ("", rf"(?i){_VALUE}(?P<part>(?:{_PART_WORDS})s|halves)\b{_CLOSED}", _parts),
    ("", rf"(?i)(?<![\w.,])(1)\s*(?P<opened>\\text\{{\s*)?(?P<part>{_PART_WORDS}|half)\b{_CLOSED}", _parts),
    (
        "",
        r"(?<=[0-9])\s*(?:\\text\{\s*|\s)(squared|cubed|factorial)\b\s*\}?",
        lambda m: {"squared": "^{2}", "cubed": "^{3}", "factorial": "!"}[m[1]],
    ),
    (
        "",
        r"(?i)(?<=[0-9])\s*(?:\\text\{\s*([ap])\.?\s?m\.?\s*\}|([ap])\.?\s?m\.?(?=\s*\}?\s*$))",
        lambda m: f" {(m[1] or m[2]).lower()}m",
    ),
    (
        "b",
        _VALUE + rf"(?:basis\s+points?|bps?)\b{_CLOSED}",
        lambda m: f"\\frac{{{m[1]}}}{{10000}}{_reopened(m)}",
    ),
    ("mill", _VALUE + rf"per\s?mille?\b{_CLOSED}", lambda m: f"\\frac{{{m[1]}}}{{1000}}{_reopened(m)}"),
    ("", r"(?i)\s*\\text\{\s*(?:percentage\s+points?|percent|pct|percentage)\s*\}", "%"),
    ("", r"(?i)(?<=[0-9}])\s*(?:percentage\s+points?|percentage|percent|pct)\b", "%"),
    (
        "base",
        r"\(?\b([0-9A-F]+)\)?\s*(?:\\text\{\s*|\()*(?:in\s+)?base(?:\s|-|\})*([0-9]{1,2}|[a-z]+)\s*\)?\s*\}?\s*\)?\s*$",
        lambda m: _based(m) if m[2].isdigit() or m[2] in BASE_NAMES else m[0],
    ),
    (
        "",
        r"\b([0-9A-F]+)\s*(?:\\text\{\s*|\()*(?:in\s+)?()(binary|octal|hexadecimal|hex)\s*\)?\s*\}?\s*\)?\s*$",
        _based,
    ),
)
_LITERAL = re.compile(r"0(?:x([0-9a-f]+)|b([01]+)|o([0-7]+))", re.IGNORECASE)
_APPROXIMATED = steps(
    ("", rf"(?<=[^\s(])\s*\\text\{{\s*\(?\s*,?\s*(?:or\s+|which\s+is\s+|is\s+)?{_ABOUT}\s*\}}\s*([^\\()]{{1,40}}?)\s*"
     r"(?:\\text\{\s*\)\s*\}|\))?\s*$", r" \\approx \1"),
    ("", rf"(?<=[^\s(])\s*\\text\{{\s*\(?\s*(?:or\s+)?{_ABOUT}\s*([-0-9.,]{{1,40}})\s*\)?\s*\}}\s*$", r" \\approx \1"),
    ("\\approx", r"(?<=[^\s(])\s*\(\s*\\approx\s*([^()]{1,60})\)\s*$", r" \\approx \1"),
)  # fmt: skip
_CONJUNCTIONS = steps(
    ("either", r"\\text\{\s*(?:both|either)\s*\}|^\s*either\b", " "),
    ("resp", r"(?<=\S)\s*\\text\{\s*,?\s*resp(?:\.|ectively)?,?\s*\}\s*$", ""),
    ("resp", r"\\text\{\s*[,(]?\s*resp(?:\.|ectively)?,?\s*\}|(?<=[\s,])resp\.(?=\s)", ", "),
    ("&", r"\\text\{\s*\\?&\s*\}|\\&", ", "),
    (
        "and",
        r"\\text\{\s*(?:,\s*)?and(?:\s+also)?\s*,?\s*\}|,?\s+and\s+(?=[-+\\(\[{0-9a-zA-Z])|(?<=\))and(?=\()",
        ", ",
    ),
    (
        "or",
        r"(?<!,)\s*(?:\\text\{\s*or(?:\s+else)?\s*\}|(?<=\s)or\s+(?=[-+\\(\[{0-9a-zA-Z])|(?<=\))or(?=\())",
        r" \\lor ",
    ),
    ("or", r",\s*(?:\\text\{\s*or\s*\}|or\s+(?=[-+\\(\[{0-9a-zA-Z]))|\\text\{\s*,\s*or\s*\}", ", "),
    (",", r",\s*(?:(?:,|\\lor(?![a-z]))\s*)+", ", "),
)
_NUMBER_IN_TEXT = re.compile(r"(?<![0-9.,}])\s*\\text\{\s*([-+]?[0-9][0-9.,/]*)\s*\}(?![0-9.])")
_NEGATIVE = re.compile(r"^(\s*|.{0,80}=\s*)(?:\\text\{\s*(?:negative|minus)\s*\}|(?:negative|minus)\s)\s*(?=[0-9\\(])")
_NEGATIVE_IN_TEXT = re.compile(r"^\s*\\text\{\s*(?:negative|minus)\s+([0-9][0-9.,/]*)\s*\}\s*$")
_VERBS = (
    r"is|are|equals|be|makes?|made|earns?|needs?|has|have|had|costs?|gets?|takes?|pays?|spends?|saves?|receives?|uses?"
    r"|buys?|sells?|gives?|contains?|weighs?|totals?"
)
_ANNOUNCED = re.compile(rf"(?:\b(?:{_VERBS})|[a-z]:|[a-z]\s*=)\s*\}}\s*|(?<=\}})\s*=\s*")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_OF_A_SENTENCE = re.compile(r"\b(?:is|are|was|and|has|have|equals)\b", re.IGNORECASE)
_SENTENCE = re.compile(
    r"(?:[Tt]he|[Tt]here|[Ii]t|[Tt]otal|[Aa]nswer|[Tt]hus|[Ss]o|[Hh]ence|[Tt]herefore)\b([A-Za-z',\s]{0,80}?)"
    r"\s(?:is|are|equals|be)\s+((?:negative\s+)?[-+]?[0-9.][^\s]*(?:\s[a-z]+)?)"
)


def meaning_of_words(text: str) -> str:
    """Words that are part of the mathematics as notation. The text has no runs of white space."""
    if "\\text{" in text or "\\approx" in text:
        text = apply(text, _APPROXIMATED)
    text = apply(text, _WORDS)
    text = apply(text, _CONJUNCTIONS)
    if "\\text{" in text:
        text = _NUMBER_IN_TEXT.sub(r" \1 ", text)
    return text


def literal(text: str) -> str:
    """0x1F as 1F in base 16, 0b101 and 0o17 likewise; every other text as it is."""
    match = _LITERAL.fullmatch(text) if text.startswith("0") else None
    if match is None:
        return text
    return next(f"{digits}_{{{base}}}" for digits, base in zip(match.groups(), (16, 2, 8), strict=True) if digits)


def without_sentence(text: str) -> str:
    r"""The value of `\text{The total is } 18`, where nothing before or behind it twists it; else the text. Also
    `negative 5` as -5."""
    if (match := _SENTENCE.fullmatch(text)) and not is_twisted(match[1]):
        text = match[2]
    if text.startswith("\\text{") and (match := _ANNOUNCED.search(text[:400])):
        said = " ".join(_TEXT.findall(text[: match.end()]))
        behind = " ".join(_TEXT.findall(text[match.end() :]))
        if (
            text[match.end() :]
            and ":" not in behind
            and not (is_twisted(said) or _NO_UNIT.search(behind) or _OF_A_SENTENCE.search(behind))
        ):
            text = text[match.end() :]
    if "inus" in text or "egative" in text:
        text = _NEGATIVE.sub(r"\1-", _NEGATIVE_IN_TEXT.sub(r"-\1", text))
    return text


def is_twisted(words: str) -> bool:
    """Whether words before a value say that it is another, none, or one under a condition: "Half of the total is"."""
    return _TWISTING.search(words) is not None or _TURNED.search(words) is not None


def is_unit(words: str) -> bool:
    """Whether words after a number can be its unit: none of them is a number, an operator, a denial, a condition."""
    return _NO_UNIT.search(_SQUARED_UNIT.sub("", words)) is None
