r"""A sentence of a solution as plain characters: `\frac{1}{2} \times \$1{,}000` reads `((1)/(2)) * $1000`.

Roots become powers and binomials factorials, so that what reads expressions knows neither.

Promises: what is not understood leaves a character (`UNKNOWN`) that no expression can contain, so that nothing is ever
computed across it. Linear in the text's length.
"""

import re
from collections.abc import Iterator

UNKNOWN = "¿"

_SENTENCE_END = re.compile(
    r"(?<=[;?])\s+|(?<=!)\s+(?=[A-Z\"'(])|(?<=[^\d\s)}]!)\s+|(?<=[^\d\s]\.)\s+|(?<=\d\.)\s+(?=[A-Z\\$(])"
    # A line of LaTeX that goes on with an operator belongs to the one before.
    r"|\\\\\s*+(?!&?\s*(?:[-+*/^]|\\(?:div|cdot|times|left)\b))|(?<!\\\\)\n"
)
_CALCULATION = re.compile(r"<<([^<>]{1,200})>>")
_BULLET = re.compile(r"^\s*(?:[-*•+]\s+|(?:step\s+)?\d{1,3}\s*[.):]\s+|\(\w{1,3}\)\s+|#{1,6}\s*)+", re.IGNORECASE)
_FRACTION = re.compile(r"\\[dtc]?frac\s*\{([^{}]{0,80})\}\s*\{([^{}]{0,80})\}")
_ROOT = re.compile(
    r"\\sqrt\s*(?:\[(?P<degree>\d)\]\s*)?(?:\{(?P<braced>[^{}]{1,80})\}|(?P<digit>\d))"
    r"|√\s*(?:\((?P<bracketed>[^()]{1,80})\)|(?P<number>\d+(?:\.\d+)?))"
)
_BINOMIAL = re.compile(r"\\[dt]?binom\s*\{(\d{1,2})\}\s*\{(\d{1,2})\}")
_PI = re.compile(r"\\pi(?![A-Za-z])|π")
_SHORT_FRACTION = re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)")
_MIXED_NUMBER = re.compile(r"(?<=\d)\s*\\[dtc]?frac|(?<=\d)\s+(?=\d+\s*/\s*\d)|(?<=\d)\s*[¼½¾⅓⅔]")
_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf|mbox|operatorname)\s*\{([^{}]{0,80})\}")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|°")
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:(?:,|\{,\}|\\,|,\\!)\d{3})+)(?!\d|,\d)")
_SUPERSCRIPT = str.maketrans({"⁰": "^0", "¹": "^1", "²": "^2", "³": "^3"})
_SIGNS = {
    r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": "", r"\$": "$", r"\%": "%", r"\,": " ",
    r"\;": " ", r"\!": "", r"\ ": " ", r"\quad": " ", r"\[": " ", r"\]": " ", r"\(": " ", r"\)": " ", "&": " ",
    "×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "—": UNKNOWN, "∗": "*", "**": "^", "→": UNKNOWN,
    r"\approx": "≈",
}  # fmt: skip
_SIGN = re.compile("|".join(re.escape(sign) + ("(?![A-Za-z])" if sign[-1].isalpha() else "") for sign in _SIGNS))
_COMMAND = re.compile(r"\\[A-Za-z]+|\\")
_BOXED = re.compile(r"\\boxed\s*(?=\{)")


def sentences(text: str) -> Iterator[str]:
    """Sentences and lines as they stand, and after each what its calculator annotations hold (`<<9*2=18>>`)."""
    for line in _SENTENCE_END.split(text):
        without = _CALCULATION.sub("", line)
        if without.strip():
            yield without.strip()
        yield from (match[1] for match in _CALCULATION.finditer(line))


def plain(sentence: str) -> str:
    """One sentence in plain characters, without its bullet."""
    text = _BULLET.sub("", sentence)
    text = _MIXED_NUMBER.sub(lambda match: UNKNOWN + match[0].strip(), text)
    text = _TEXT.sub(r" \1 ", text)
    text = _BOXED.sub("", text)
    for _ in range(3):
        text = _SHORT_FRACTION.sub(r"((\1)/(\2))", _FRACTION.sub(r"((\1)/(\2))", text))
        text = _ROOT.sub(_as_power, text)
    text = _BINOMIAL.sub(r"((\1)!/((\2)!((\1)-(\2))!))", text)
    # An angle may be π and 180 at once.
    text = _PI.sub(UNKNOWN if _DEGREES.search(text) else "π", text)
    text = _DEGREES.sub(" ", text)
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[1]), text)
    text = _SIGN.sub(lambda match: _SIGNS[match[0]], text.translate(_SUPERSCRIPT))
    text = _COMMAND.sub(UNKNOWN, text)
    return text.replace("{", "(").replace("}", ")")


def _as_power(root: re.Match[str]) -> str:
    of = root["braced"] or root["digit"] or root["bracketed"] or root["number"]
    return f"(({of})^((1)/({root['degree'] or 2})))"
