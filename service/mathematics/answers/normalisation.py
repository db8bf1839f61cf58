r"""One spelling for answers that differ in typesetting alone.

Changes nothing that carries meaning: case, signs, primes, subscripts, brackets, the order of parts. Characters that
only look like digits or that turn the reading direction are left as they are, so that they equal nothing.
"""

import re
from functools import lru_cache

from rewright.service.mathematics.answers.characters import plain_characters
from rewright.service.mathematics.answers.typesetting import BACKSLASHES, FIRST, PLAIN, RAISED, apply
from rewright.service.mathematics.answers.units import TRIGONOMETRY
from rewright.service.mathematics.answers.wording import literal, meaning_of_words, without_sentence

MAX_CHARACTERS = 4_000

_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_ANGLE = re.compile(r"(?<!\d)(\d+(?:\.\d+)?)\s*\\text\{degrees?\}")
_LETTERS = re.compile(r"[A-Za-z&]")
_SPACES = re.compile(r"\s+")
_TEXT_ALONE = re.compile(r"\\text\{([^{}]*)\}")
_BARE_WORDS = re.compile(r"[A-Za-z][A-Za-z .'-]*")


def normalise(text: str) -> str:
    """The canonical spelling. Texts past MAX_CHARACTERS only lose their outer white space."""
    if _PLAIN_NUMBER.fullmatch(text):
        return text
    if len(text) > MAX_CHARACTERS:
        return text.strip()
    return _short(text) if len(text) <= 200 else _normalised(text)


def _normalised(text: str) -> str:
    if not text.isascii():
        text = plain_characters(text)
    text = apply(text, FIRST)
    if not text.isascii():
        text = apply(text, RAISED)
    if "\\" in text:
        text = apply(text, BACKSLASHES)
    text = apply(text, PLAIN)
    if match := _TEXT_ALONE.fullmatch(text.strip()):
        text = match[1]
    if _LETTERS.search(text):
        text = meaning_of_words(text)
    text = _unwrap(text.strip().rstrip(".,;: \n")).strip()
    text = without_sentence(text)
    if match := _TEXT_ALONE.fullmatch(text):
        text = without_sentence(match[1].strip())
    text = literal(text)
    if "degree" in text and TRIGONOMETRY.search(text):
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


def is_words(text: str) -> bool:
    """A normalised text of words alone, such as `even` or `no solution`; R-r and PV-nRT are formulas."""
    return (
        _BARE_WORDS.fullmatch(text) is not None
        and (len(text) >= 3 or text.casefold() == "no")
        and ("-" not in text or all(len(part) >= 3 for part in text.split("-")))
    )
