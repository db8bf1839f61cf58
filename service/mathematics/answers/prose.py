r"""The value that prose ends in: "She scores 8 * 2 = 16 goals on average in 2 hours" gives 16.

Policy (policy:extraction)
- The last sentence with a value counts, and of it the value behind the last `=`; else the last value that the problem
  does not state, else the last. A sentence of the problem's values alone is passed over for the one before, unless it
  concludes ("So he has 5 left").
- A value that stands behind that one is taken instead where it is new (neither in the problem nor anywhere before), or
  the words between lead on to it ("…, so he has 5").
- Values behind "where", "when" and their kin are conditions, those in round brackets asides; they count where nothing
  else stands. Sentences to the reader ("let me know …") hold none.
- Values are read whole (`rewright.service.mathematics.answers.quantities`).
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from rewright.service.mathematics.answers.context import sentence_before, taken_back
from rewright.service.mathematics.answers.quantities import NUMBER_TOKEN, Value, values

PROSE_WINDOW = 2_000
_PROBLEM_WINDOW = 8_000
_SENTENCES = 3
"""With values, from the end, that are looked through for a new one."""

_SENTENCE_BREAK = re.compile(r"(?<=[.!?])[\"')\]*$]{0,3}\s+(?=[A-Z$\\(\[*\"])|\n")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|finally|altogether|consequently|answers?|concludes?|results?|total)\b", re.IGNORECASE
)
_LEADS_ON = re.compile(
    r"\b(?:so|thus|therefore|hence|means?|meaning|leaves?|leaving|giv(?:es?|ing)|gets?|mak(?:es?|ing))\b"
    r"|\b(?:is|are|equals?)[\s$*(]*$",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(?:where|when|whenever|given|let|letting|since|because)\s+(?:that\s+)?[$\\(]{0,3}$"
    r"|\b(?:at|with|for)\s+[$\\(]{1,3}$|\b(?:where|when|given|let|at|with|for)\s+[A-Za-z]\s*=\s*$",
    re.IGNORECASE,
)
_BEHIND_EQUALS = re.compile(r"=[\s$*_~(\[€£¥≈+−-]*$")
_ASSIGNMENT = re.compile(r"([A-Za-z](?:_\{?\w\}?)?)\s*=[^=<>]+")
_NAME_BEFORE = re.compile(r"(?<![A-Za-z\\])([A-Za-z](?:_\w)?)\s*=\s*$")
_JOINS_NAMES = re.compile(r"\s*(?:[,;]|and|,\s*and)\s*")
_GOES_ON = re.compile(r"\s*[A-Za-z]{0,8}\s*(?:[-+*/×÷·−=]\s*\$?\s*\d|x\s*\d)")
_LISTED_BEFORE = re.compile(
    r"([-\d][\d.,/]*+)\$?\s*(?:[A-Za-z]{2,}\s+){0,2}?,?\s*\(?(?:\bor\s+(?:[a-z]+\s+){0,2}|\bresp(?:\.|ectively)\s*"
    r"|\b(?:(?:but|and|though|it|this|that)\s+){0,3}(?:may|might|could|can)\s+(?:also|equally|as well|instead)\s+be\s+"
    r")\$?$|\b(any|one|some|all) of\b[^.]{1,60}$"
)
_LISTED_AFTER = re.compile(
    r"[\s$*]*(?:[A-Za-z]{2,12}\s*)?,?\s*\(?\s*(?:or|resp\.|alternatively)[\s,]*(?:(?:maybe|perhaps|possibly|else|even)\s+)*"
    r"\$?([-−]?\d[\d.,/]*(?<![.,]))(?![\w^])(?!\s*(?:[-+*/×=]|more|less))",
    re.IGNORECASE,
)
_PART_OF_MORE = re.compile(
    r"\b(?:(?:less|greater|more|fewer|larger|smaller|bigger|higher|lower)\s+than(?:\s+or\s+equal\s+to)?"
    r"|at\s+(?:most|least)"
    r"|up to|below|above|under|over|beyond|nearly|almost|close to|half(?:\s+of)?|twice|double|triple|minus"
    r"|negative|plus"
    r"|times|divided\s+by|multiplied\s+by|power(?:\s+of)?|(?:root|square|cube|multiple|factor|log|logarithm|reciprocal"
    r"|inverse|opposite)\s+of|divisible\s+by)[\s$(]*$",
    re.IGNORECASE,
)
_SIGN_IN_WORDS = re.compile(
    r"(?:^|[=:]|\b(?:is|are|be|equals?|was|gets?|gives?|to|of|answer))[\s$]*(?:negative|minus)[\s$]*$", re.IGNORECASE
)
_BELOW_ZERO = re.compile(r"\s+(?:degrees?\s+)?below\s+(?:zero|freezing)\b", re.IGNORECASE)
_TO_READER = re.compile(
    r"\b(?:let\s+me\s+know|hope\s+(?:this|that|it)\s+helps?|feel\s+free|thank(?:s|\s+you)|good\s+luck|any\s+(?:\w+\s+)?questions?"
    r"|I\s+leave|left\s+to\s+(?:the\s+reader|you)|as\s+an\s+exercise)\b",
    re.IGNORECASE,
)
_NUMBERS_IN_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "twenty": "20", "thirty": "30", "dozen": "12",
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class Ending:
    """What prose ends in: its text, and the sentence that it stands in."""

    text: str
    sentence: str


def last_value(text: str, problem: str | None = None) -> Ending | None:  # noqa: PLR0911 - a reading each
    """None where no value stands in the last PROSE_WINDOW characters, or the words around it take it back."""
    text = text[-PROSE_WINDOW:]
    found = values(text)
    if not found:
        return None
    choice = _choose(text, found, numbers_of(problem[-_PROBLEM_WINDOW:]) if problem else frozenset())
    if choice is None:
        return None
    chosen, start, end = choice
    if taken_back(text, chosen.start, chosen.end):
        return None
    sentence = text[start:end].strip()
    if (named := _named_together(text, found, chosen)) is not None:
        return Ending(named, sentence)
    before = sentence_before(text, chosen.start)
    signed = _SIGN_IN_WORDS.search(before) or _BELOW_ZERO.match(text[chosen.end : chosen.end + 30])
    if signed and not chosen.text.startswith("-"):
        return Ending("-" + chosen.text, sentence)
    if _PART_OF_MORE.search(before):
        return Ending(before + chosen.text, sentence)
    if (listed := _LISTED_BEFORE.search(text[max(0, chosen.start - 80) : chosen.start])) and listed[1] != chosen.text:
        return Ending(f"{listed[1] or listed[2]}, {chosen.text}", sentence)
    if (other := _LISTED_AFTER.match(text[chosen.end : chosen.end + 60])) and other[1] != chosen.text:
        return Ending(f"{chosen.text}, {other[1]}", sentence)
    return Ending(chosen.text, sentence)


def _named_together(text: str, found: list[Value], chosen: Value) -> str | None:
    """`x = 3 and y = -1` as a list, where the chosen value is the last of several with names of one letter."""
    together: list[str] = []
    behind = -1
    for value in reversed([value for value in found if value.end <= chosen.end]):
        if behind >= 0 and not _JOINS_NAMES.fullmatch(text[value.end : behind]):
            break
        named = _ASSIGNMENT.fullmatch(value.text) if value.is_formula else _NAME_BEFORE.search(text, 0, value.start)
        if named is None:
            break
        together.insert(0, value.text if value.is_formula else f"{named[1]} = {value.text}")
        behind = value.start if value.is_formula else named.start()
    names = {part.partition("=")[0].strip() for part in together}
    return ", ".join(together) if len(names) == len(together) > 1 else None


@lru_cache(maxsize=1_024)
def numbers_of(text: str) -> frozenset[str]:
    """The numbers that the text states, small ones in words as well."""
    numbers = {_plain(match[0]) for match in NUMBER_TOKEN.finditer(text)}
    return frozenset(numbers | {_NUMBERS_IN_WORDS[w] for w in _WORD.findall(text.lower()) if w in _NUMBERS_IN_WORDS})


def _plain(number: str) -> str:
    number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number.lstrip("0") or "0"


def _choose(text: str, found: list[Value], known: frozenset[str]) -> tuple[Value, int, int] | None:
    """The value that counts, and where its sentence starts and ends; None where only the reader is spoken to."""
    breaks = [0, *(match.end() for match in _SENTENCE_BREAK.finditer(text)), len(text)]
    sentences: list[tuple[int, list[Value]]] = []
    for value in found:
        place = bisect_right(breaks, value.start) - 1
        if not sentences or sentences[-1][0] != place:
            sentences.append((place, []))
        sentences[-1][1].append(value)
    sentences = [
        (place, members)
        for place, members in sentences
        if not _TO_READER.search(text[breaks[place] : breaks[min(place + 1, len(breaks) - 1)]])
    ]
    for place, members in sentences[: -_SENTENCES - 1 : -1]:
        start, end = breaks[place], breaks[min(place + 1, len(breaks) - 1)]
        if (chosen := _of_sentence(text, start, members, known)) is not None:
            return chosen, start, end
        said = text[start:end]
        alone = len(members) == 1 and not re.search(r"\w", said.replace(text[members[0].start : members[0].end], "", 1))
        if alone or _CONCLUDES.search(said):
            return members[-1], start, end
    if not sentences:
        return None
    place, members = sentences[-1]
    return members[-1], breaks[place], breaks[min(place + 1, len(breaks) - 1)]


def _of_sentence(text: str, start: int, members: list[Value], known: frozenset[str]) -> Value | None:
    """The value behind the last `=`, else the last new one, else None; a later one that is new or led on to instead."""
    told = [
        value
        for value in members
        if not _CONDITION.search(text[max(start, value.start - 30) : value.start + value.is_formula])
    ]
    plain = [value for value in told if not _is_aside(text, start, value)]
    for some in (plain, told, members):
        if some and (chosen := _of_values(text, start, some, known)) is not None:
            return chosen
    return None


def _is_aside(text: str, start: int, value: Value) -> bool:
    """In round brackets, and not what is worked out in them."""
    before = text[max(start, value.start - 120) : value.start]
    opening = before.rfind("(")
    return opening > before.rfind(")") and "=" not in before[opening:] and not value.is_formula


def _of_values(text: str, start: int, members: list[Value], known: frozenset[str]) -> Value | None:
    anchor = next((n for n in reversed(range(len(members))) if _is_result(text, start, members[n])), None)
    by_equals = anchor is not None
    if anchor is None:
        anchor = next((n for n in reversed(range(len(members))) if not _is_known(members[n], known)), None)
    if anchor is None:
        return None
    before = numbers_of(text[: members[anchor].end]) if by_equals and anchor + 1 < len(members) else frozenset()
    for place in range(len(members) - 1, anchor, -1):
        value = members[place]
        if by_equals and not _is_known(value, known) and not _is_known(value, before):
            return value
        if _LEADS_ON.search(text[members[place - 1].end : value.start]):
            return value
    return members[anchor]


def _is_result(text: str, start: int, value: Value) -> bool:
    if value.is_formula:
        return "=" in value.text
    if _BEHIND_EQUALS.search(text[max(start, value.start - 20) : value.start]) is None:
        return False
    return _GOES_ON.match(text[value.end : value.end + 30]) is None


def _is_known(value: Value, known: frozenset[str]) -> bool:
    """All numbers of a value are known; a formula with letters is always new."""
    numbers = [_plain(match[0]) for match in NUMBER_TOKEN.finditer(value.text)]
    if value.is_formula and (not numbers or re.search(r"[A-Za-z]", value.text)):
        return False
    return all(number in known for number in numbers)
