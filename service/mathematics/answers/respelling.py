r"""LaTeX respelled where the reader behind algebra would take it for something else.

- A function written without brackets ends at a multiplication sign: `\ln x \cdot x` is x ln x. The reader would take
  the whole product for its argument.
- A capital is another symbol than its small letter, which the reader writes all letters as.
"""

import re

from rewright.service.mathematics.answers.normalisation import closing_brace
from rewright.service.mathematics.answers.notation import COMMAND

_LONGEST = 1_000
_FUNCTION = re.compile(
    r"\\(?:(?:arc)?(?:sin|cos|tan|cot|sec|csc)h?|ln|lg|exp|log(?:_(?:\w|\{[^{}]*\}))?)(?![a-z])"
    r"(?:\^(?:\w|\{[^{}]*\}))? ?"
)
_FACTOR = re.compile(
    r" ?(?:[0-9.]+|[A-Za-z]|\\(?:pi|alpha|beta|gamma|delta|theta|lambda|mu|phi|psi|omega|sigma|rho|tau)(?![a-z])"
    r"|(?P<braced>\\frac|\\sqrt(?:\[[^\[\]]*\])?|(?=\{)))"
)
_POWER = re.compile(r"[_^](?:\w|\{[^{}]*\})|\^(?=\{)")
_TIMES = re.compile(r" ?(?:\\(?:cdot|times)(?![a-z])|\*)")
_CAPITAL = re.compile(r"(?<![A-Za-z\\])([A-Z])(?:_(?:(\w)|\{(\w{1,6})\}))?(?!\()")
_LETTER = re.compile(r"[A-Za-z]")


def with_ended_functions(text: str) -> str:
    """Brackets around the argument of a function that a multiplication sign ends."""
    if ("\\cdot" not in text and "\\times" not in text and "*" not in text) or len(text) > _LONGEST:
        return text
    parts, done = [], 0
    for match in _FUNCTION.finditer(text):
        start = match.end()
        if start <= done or text[start : start + 1] == "(":
            continue
        end = _argument_end(text, start)
        if end > start and _TIMES.match(text, end):
            parts += [text[done:start], "(", text[start:end], ")"]
            done = end
    return "".join(parts) + text[done:]


def _argument_end(text: str, start: int) -> int:
    """Where the factors that stand side by side from `start` on end."""
    end = start + 1 if text[start : start + 1] == "-" else start
    if text[end : end + 1] == "|" and (bar := text.find("|", end + 1)) > 0:
        return bar + 1
    while factor := _FACTOR.match(text, end):
        place: int | None = factor.end()
        for _ in range(2 if factor["braced"] == "\\frac" else int(factor["braced"] is not None)):
            place = _behind_braces(text, place)
        while place is not None and (power := _POWER.match(text, place)):
            place = _behind_braces(text, power.end()) if text[power.end() : power.end() + 1] == "{" else power.end()
        if place is None:
            return end
        end = place
    return end


def _behind_braces(text: str, place: int | None) -> int | None:
    """The place behind the braces that open at `place`; None where none do, or none close."""
    if place is None or text[place : place + 1] != "{":
        return None
    closing = closing_brace(text, place)
    return None if closing is None else closing + 1


def with_capitals_apart(gold: str, prediction: str) -> tuple[str, str]:
    """Both texts with other names for the capitals whose small letters stand in one of them too, and for E and I,
    which are no constants."""
    letters = set(_LETTER.findall(COMMAND.sub(" ", gold + " " + prediction)))
    both = {letter for letter in letters if letter.isupper() and letter.lower() in letters | {"e", "i"}}
    if not both:
        return gold, prediction

    def renamed(match: re.Match[str]) -> str:
        if match[1] not in both:
            return match[0]
        return f"z_{{9{match[1].lower()}{match[2] or match[3] or ''}}}"

    return _CAPITAL.sub(renamed, gold), _CAPITAL.sub(renamed, prediction)
