r"""The value that prose ends in: "She scores 8 * 2 = 16 goals on average in 2 hours" gives 16.

Policy (policy:extraction)
- The last sentence with a value counts, and of it the value behind the last `=`; else the last value that the problem
  does not state, else the last. A sentence of the problem's values alone is passed over for the one before, unless it
  concludes ("So he has 5 left").
- A value that stands behind that one is taken instead where it is new (neither in the problem nor anywhere before), or
  the words between lead on to it ("…, so he has 5").
- Values behind "where", "when" and their kin are conditions, those in round brackets asides; they count where nothing
  else stands. Sentences to the reader ("let me know …") or of the writer ("I checked this 12 times") hold none.
- Values are read whole (`rewright.service.mathematics.answers.quantities`).
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache

from rewright.service.mathematics.answers.beside import offered_beside
from rewright.service.mathematics.answers.context import sentence_before, taken_back
from rewright.service.mathematics.answers.quantities import NUMBER_TOKEN, Value, values
from rewright.service.mathematics.answers.wording import NUMBERS_IN_WORDS

PROSE_WINDOW = 2_000
_PROBLEM_WINDOW = 8_000
_SENTENCES = 3
"""With values, from the end, that are looked through for a new one."""

_SENTENCE_BREAK = re.compile(r"(?<=[.!?])[\"')\]*$]{0,3}\s+(?=[A-Z$\\(\[*\"])|\n")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|finally|altogether|consequently|answers?|concludes?|results?|total)\b", re.IGNORECASE
)
_LEADS_ON = re.compile(
    r"\b(?:so|thus|therefore|hence"
    r"|(?<!after )(?<!before )(?<!without )(?<!by )(?<!of )(?<!for )(?<!from )(?<!when )(?<!while )"
    r"(?:means?|meaning|leaves?|leaving|giv(?:es?|ing)|gets?|mak(?:es?|ing)))\b"
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
_OF_THE_WRITER = re.compile(
    r"\b(?:double-?check|re-?check|check|verif[yi]|tr[yi]|test|re-?read|read|solv|attempt|work)\w*\b[^.]{0,30}\d[^.]{0,20}?\b"
    r"(?:times|ways|attempts|tries|minutes|hours|days|seconds|problems|questions|exercises|puzzles|tests|exams)\b"
    r"|\b(?:I\s+am|I'm|we\s+are)\b[^.]*\b(?:sure|confident|certain)\b"
    r"|\b(?:my|our)\s+(?:confidence|certainty|favou?rite|lucky)\b|^\W*confidence\b(?!\s+interval)"
    r"|\b(?:this|that|it|here)\s+(?:is|was)\s+(?:the\s+)?(?:problem|question|exercise|task|puzzle|attempt|version|draft|try)\b"
    r"|\b(?:took|takes|cost)\s+(?:me|us)\b"
    r"|\b(?:give|award|grant|owe|tip|rate)\s+(?:me|us|this|my)\b"
    r"|\b(?:questions?|problems?|exercises?|points?|marks?)\s+(?:on|in|of|for)\s+this\b",
    re.IGNORECASE,
)
"""Of the writing, the writer or the task, and not of what is asked."""
_FIRST_PERSON = re.compile(r"\b(?:I|I'm|I've|[Mm]e|[Mm]y|[Mm]yself)\b")
_FINDS = re.compile(
    r"\b(?:g[eo]t|find|found|obtain|have|had|conclude|comput|calculat|arriv|answer|result|total|sum|equal|think|say|said"
    r"|guess|cho[os]|pick|deduce|determine|see|know|derive|reach|count|so|thus|therefore|hence|would)\w*\b|=",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(r"(?<![A-Za-z\\])([A-Za-z](?:_\w)?)\s*=\s*$")
_JOINS_NAMES = re.compile(r"\s*(?:[,;]|and|,\s*and)\s*")
_WORKED = re.compile(r"\d\s*(?:[-+*×÷·^−]|/\s)\s*\d")
_GOES_ON = re.compile(r"\s*[A-Za-z]{0,8}\s*(?:[-+*/×÷·−=]\s*\$?\s*\d|x\s*\d)")
_ANY_OF = re.compile(
    r"\b(any|one|some|all)\s+of\b(?:\s+(?:the|these|those|them|following|numbers?|values?|answers?|options?))*[\s:$({\\]*"
    r"(?:(?:[-\d.,;\s$]|or\b|and\b)*)$"
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
    choice = _choose(text, found, problem)
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
    if listed := _ANY_OF.search(before):
        return Ending(f"{listed[1]}, {chosen.text}", sentence)
    if (other := offered_beside(text, chosen.start, chosen.end)) is not None:
        return Ending(f"{chosen.text} \\lor {other}", sentence)
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
    return frozenset(numbers | {NUMBERS_IN_WORDS[w] for w in _WORD.findall(text.lower()) if w in NUMBERS_IN_WORDS})


def _plain(number: str) -> str:
    number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number.lstrip("0") or "0"


def _choose(text: str, found: list[Value], problem: str | None) -> tuple[Value, int, int] | None:
    """The value that counts, and where its sentence starts and ends; None where no sentence answers anything."""
    known = numbers_of(problem[-_PROBLEM_WINDOW:]) if problem else frozenset()
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
        if not _answers_nothing(text[breaks[place] : breaks[min(place + 1, len(breaks) - 1)]], problem)
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


def _answers_nothing(sentence: str, problem: str | None) -> bool:
    """It speaks to the reader, or of the writer where the problem does not."""
    if _TO_READER.search(sentence) or _OF_THE_WRITER.search(sentence):
        return True
    if problem is None or _FIRST_PERSON.search(problem[-_PROBLEM_WINDOW:]):
        return False
    return _FIRST_PERSON.search(sentence) is not None and _FINDS.search(sentence) is None


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
    """All numbers of a value are known; a formula with letters and a calculation are always new."""
    numbers = [_plain(match[0]) for match in NUMBER_TOKEN.finditer(value.text)]
    if _WORKED.search(value.text) and not value.is_formula:
        return False
    if value.is_formula and (not numbers or re.search(r"[A-Za-z]", value.text)):
        return False
    return all(number in known for number in numbers)
