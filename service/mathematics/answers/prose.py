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

from rewright.service.mathematics.answers.beside import offered_beside, says_the_same
from rewright.service.mathematics.answers.context import sentence_before, taken_back
from rewright.service.mathematics.answers.quantities import NUMBER_TOKEN, Value, values
from rewright.service.mathematics.answers.wording import NUMBERS_IN_WORDS

PROSE_WINDOW = 2_000
_PROBLEM_WINDOW = 8_000
_LOOKED_AT = 8
"""Sentences with values, from the end, of which those that answer nothing are left out."""
_TAKEN_BACK = 3
"""Values that the words around them take back, until none is looked for."""
_SENTENCES = 3
"""With values, from the end, that are looked through for a new one."""

_SENTENCE_BREAK = re.compile(r"(?<=[.!?])[\"')\]*$]{0,3}\s+(?=[A-Z$\\(\[*\"])|\n")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|therefore|hence|finally|altogether|consequently|answers?|concludes?|results?|total)\b", re.IGNORECASE
)
_LEADS_ON = re.compile(
    r"\b(?:so|thus|therefore|hence|means?|meaning)\b|\b(?:is|are|equals?)[\s$*(]*$"
    r"|\b(?:we|this|that|which|it|you|one|I)\s+(?:then\s+)?(?:leaves?|gives?|gets?|makes?)\b"
    r"|,\s*(?:leaving|giving|making)\b",
    re.IGNORECASE,
)
_MAY_LEAD_ON = re.compile(
    r"(?<!after )(?<!before )(?<!without )(?<!by )(?<!of )(?<!for )(?<!from )(?<!when )(?<!while )"
    r"\b(?:leaves?|leaving|giv(?:es?|ing)|gets?|mak(?:es?|ing))\b",
    re.IGNORECASE,
)
"""To a value that the problem does not state: people give and get those that it does."""
_AS_MANY = re.compile(
    r"[\s$]*(?:times\s+(?:as|more|the|of|greater|larger|bigger|longer|higher)|(?:\w+\s+)?(?:fewer|more|less)\s+than)\b",
    re.IGNORECASE,
)
_COMPARED_WITH = re.compile(
    r"\b(?:which|that)\s+(?:is|are)\s+(?:\w+\s+)?(?:less|more|greater|fewer|smaller|larger|higher|lower|under|over|below"
    r"|above)\s+(?:than\s+)?[$(]*$",
    re.IGNORECASE,
)
_ROUNDED_TO = re.compile(r"(?:≈|\\approx|\b(?:about|approximately|roughly))\s*[$(]*$", re.IGNORECASE)
_ASKS_TO_ROUND = re.compile(r"\b(?:nearest|round\w*|decimal|approximat\w*|estimate|about)\b", re.IGNORECASE)
_DEPENDING = re.compile(r"\bdepending\s+on\b", re.IGNORECASE)
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
    r"|\bspent\s+\d+\s+\w+\s+on\s+(?:it|this)\b|\b(?:I\s+am|I'm)\s+\d+\s+years\b"
    r"|\b(?:I\s+am|I'm|we\s+are)\b[^.]*\b(?:sure|confident|certain)\b"
    r"|\b(?:my|our)\s+(?:confidence|certainty|favou?rite|lucky)\b|^\W*confidence\b(?!\s+interval)"
    r"|\b(?:this|that|it|here)\s+(?:is|was)\s+(?:the\s+)?(?:problem|question|exercise|task|puzzle|attempt|version|draft|try)\b"
    r"|\b(?:took|takes|cost)\s+(?:me|us)\b"
    r"|\b(?:give|award|grant|owe|tip|rate)\s+(?:me|us|this|my)\b"
    r"|\b(?:questions?|problems?|exercises?|points?|marks?)\s+(?:on|in|of|for)\s+this\b",
    re.IGNORECASE,
)
"""Of the writing, the writer or the task, and not of what is asked."""
_CHECKING = re.compile(r"\W*(?:check(?:ing)?|verif(?:y|ying|ication))\b\s*[:,]", re.IGNORECASE)
"""Counts where nothing else stands."""
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
    for _ in range(_TAKEN_BACK):
        choice = _choose(text, found, problem) if found else None
        if choice is None:
            return None
        chosen, start, end = choice
        if not taken_back(text, chosen.start, chosen.end):
            break
        # "37, not 19": the other value may stand, and the same one nowhere. What is said of a wrong value is no answer.
        earlier = [value for value in found if value.end <= start]
        found = [value for value in earlier or found if value.text != chosen.text]
    else:
        return None
    sentence = text[start:end].strip()
    if len(found) > 1 and _DEPENDING.search(sentence):
        return Ending(", ".join(value.text for value in found if start <= value.start < end), sentence)
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
        if says_the_same(chosen.text, other):
            return Ending(other.removeprefix("\\approx "), sentence)
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
        for place, members in sentences[-_LOOKED_AT:]
        if not _answers_nothing(text[breaks[place] : breaks[min(place + 1, len(breaks) - 1)]])
    ]
    results = [
        sentence for sentence in sentences if not _CHECKING.match(text[breaks[sentence[0]] : breaks[sentence[0]] + 40])
    ]
    sentences = results or sentences
    rounds = problem is None or _ASKS_TO_ROUND.search(problem[-_PROBLEM_WINDOW:]) is not None
    for place, members in sentences[: -_SENTENCES - 1 : -1]:
        start, end = breaks[place], breaks[min(place + 1, len(breaks) - 1)]
        if (chosen := _of_sentence(text, start, members, known, rounds=rounds)) is not None:
            return chosen, start, end
        said = text[start:end]
        alone = len(members) == 1 and not re.search(r"\w", said.replace(text[members[0].start : members[0].end], "", 1))
        if alone or _CONCLUDES.search(said):
            return members[-1], start, end
    if not sentences:
        return None
    place, members = sentences[-1]
    return members[-1], breaks[place], breaks[min(place + 1, len(breaks) - 1)]


def _answers_nothing(sentence: str) -> bool:
    return _TO_READER.search(sentence) is not None or _OF_THE_WRITER.search(sentence) is not None


def _of_sentence(text: str, start: int, members: list[Value], known: frozenset[str], *, rounds: bool) -> Value | None:
    """The value behind the last `=`, else the last new one, else None; a later one that is new or led on to instead."""
    told = [
        value
        for value in members
        if not _CONDITION.search(text[max(start, value.start - 30) : value.start + value.is_formula])
    ]
    plain = [
        value
        for value in told
        if not (_is_aside(text, start, value) or _is_compared(text, start, value, rounds=rounds))
    ]
    for some in (plain, told, members):
        if some and (chosen := _of_values(text, start, some, known)) is not None:
            return chosen
    return None


def _is_compared(text: str, start: int, value: Value, *, rounds: bool) -> bool:
    """What another value is compared with, or its rounding where the problem is there and asks for none."""
    before = text[max(start, value.start - 40) : value.start]
    if _AS_MANY.match(text[value.end : value.end + 30]) or _COMPARED_WITH.search(before):
        return True
    return not rounds and _ROUNDED_TO.search(before) is not None


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
        # "18 + 5 = $23 on 6 pens and 1 notebook": the problem says "a notebook".
        if by_equals and value.text != "1" and not _is_known(value, known) and not _is_known(value, before):
            return value
        between = text[members[place - 1].end : value.start]
        if _LEADS_ON.search(between) or (not _is_known(value, known) and _MAY_LEAD_ON.search(between)):
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
