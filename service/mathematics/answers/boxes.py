r"""Boxed answers: where the boxes stand, which of them are one answer, and what is said beside them.

Promises
- Boxes in one sentence, or offered as alternatives, are the parts of one answer; those of numbered steps are not, nor
  is one that the words behind it take back. Parts keep the names before them: `x=\boxed{3}` and `y=\boxed{-1}` are
  `x=3, y=-1`. Values of different things ("the length is …, the width is …") stay in their order.
- A box that is only spoken of ("put in \boxed{}", "as \boxed requested") is none. One that is empty says nothing.
- A value offered beside the last box ("\boxed{5} or 7", "either 7 or \boxed{5}") is another answer, unless it is the
  same value (`rewright.service.mathematics.answers.beside`).
"""

import re
from dataclasses import dataclass

from rewright.service.mathematics.answers.beside import offered_beside, says_the_same
from rewright.service.mathematics.answers.context import alternatives, taken_back, whole_formula
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS, closing_brace

_BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)|\\boxed\s+(?=[-\d\\(]|[A-Za-z](?:\W|$))")
_BOX_OR_BARE = re.compile(rf"{_BOX.pattern}|(?<![A-Za-z\\])boxed(?=\{{)")
"""With boxes that lack their backslash; much slower to look for."""
_MOST = 64
_EMPTY_SET = re.compile(r"[\s$]*\\\{\s*\\\}[\s$]*")
_SPACING = re.compile(r"\\(?:q?quad|enspace|thinspace|,|;|:|!|hspace\{[^{}]*\})")
_JOINS = re.compile(r"(?i:\b(?:and|or|either|maybe|perhaps|possibly|alternatively|resp)\b)|[,;]")
_NEW_SENTENCE = re.compile(r"[.!?。]\s|\n\s*\n|\\implies|\\Rightarrow|=(?!\s*$)")
_STEP = re.compile(r"\b(?:step|part|case)\s*\d", re.IGNORECASE)
_SPOKEN_OF = re.compile(
    r"(?:\b(?:in|into|inside|within|using|use|with|the|a|by|via|as|of|called|latex|form|format|like)|[`\"'“(])[\s$*`\"'“(\\]*$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"[\s.…\\]*(?:[ld]?dots|text\{)?\s*(?:(?:your|the|my|final)\s+)*(?:answer|result|value|number|solution|ans|here)?[\s}.…]*",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:(?<![A-Za-z\\\d}+*/^=<>-])(?<![-+*/^=<>] )([A-Za-z](?:_\{?\w{1,5}\}?)?(?:\([A-Za-z]\))?)\s*="
    r"|(?<![A-Za-z\\])([A-Z][a-z]{1,20})(?:'s)?"
    r"(?:\s*:|\s+(?:is|has|gets|got|had|=|is given by)))[\s$\\(*]*$"
)
_NOUN = re.compile(
    r"(?<![A-Za-z\\])([A-Za-z]{2,20}(?: [a-z]{2,20})?)(?:\s*[:=]|\s+(?:is|are|equals|measures|was))[\s$\\(*]*$"
)
_ANY_OF_THEM = re.compile(r"\b(?:one|other|another|roots?|solutions?|answers?|values?|they|these|and|or|either)\b")
_NO_NAME = frozenset(
    {"And", "The", "Answer", "It", "So", "Then", "Thus", "That", "This", "Hence", "Result", "Solution"}
)
_UNIT_BEHIND = re.compile(r"[\s$)\]\\]*(\\?%|percent|pct|\\text\{[^{}]{1,30}\})")


@dataclass(frozen=True, slots=True)
class Box:
    """text[start:end] is the box with what it holds, `content`."""

    start: int
    end: int
    content: str

    @property
    def is_empty(self) -> bool:
        return not self.content.strip(" \t\n$\\{}~,.") and not _EMPTY_SET.fullmatch(self.content)


def is_boxed(text: str) -> bool:
    """A box stands somewhere."""
    return _pattern(text).search(text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    return _BOX_OR_BARE if text.count("boxed{") > text.count("\\boxed{") else _BOX


def boxes(text: str) -> list[Box]:
    """The last ones, at most 64; a box that is never closed runs to the end of its line."""
    if "box" not in text:
        return []
    found: list[Box] = []
    inside = -1
    for match in list(_pattern(text).finditer(text))[-_MOST:]:
        if match.start() < inside:
            continue
        if match.end() < len(text) and text[match.end()] != "{":
            word = re.match(r"[^\s$\\,.]+", text[match.end() : match.end() + 200])
            if word is None:
                continue
            content, end = word[0], match.end() + word.end()
        elif (closing := closing_brace(text, match.end(), 2 * MAX_CHARACTERS)) is not None:
            content, end = text[match.end() + 1 : closing], closing + 1
        else:
            line = text[match.end() + 1 :].partition("\n")[0]
            content, end = line.rstrip().rstrip("$").rstrip(".\\)]"), match.end() + 1 + len(line)
        inside = end
        found.append(Box(match.start(), end, content))
    while len(found) > 1 and _is_spoken_of(text, found[-1]):
        found.pop()
    return [] if found and _is_spoken_of(text, found[-1]) else found


def _is_spoken_of(text: str, box: Box) -> bool:
    if not (box.is_empty or _PLACEHOLDER.fullmatch(box.content[:60])):
        return False
    return _SPOKEN_OF.search(text[max(0, box.start - 20) : box.start]) is not None


def one_answer(text: str, found: list[Box]) -> list[str]:
    """The contents of the last boxes that are one answer, with what is offered beside the last."""
    last = found[-1]
    together = [last]
    for earlier, later in zip(reversed(found[:-1]), reversed(found), strict=False):
        if not _joined(text, earlier, later):
            break
        together.insert(0, earlier)
    if len({re.sub(r"\s", "", box.content) for box in together}) == 1:
        alone = _alone(text, last)
        other = offered_beside(text, together[0].start, last.end)
        if other is None or says_the_same(alone, other):
            return [alone]
        return [f"{alone} \\lor {other}"]
    names = [_name(text, box) for box in together]
    if all(names) and len(set(names)) == len(names):
        return [f"{name}{box.content.strip()}" for name, box in zip(names, together, strict=True)]
    contents = [box.content.strip() for box in together]
    nouns = [_noun(text, box) for box in together]
    in_order = all(nouns) and len(set(nouns)) == len(nouns) and len(nouns) > 1
    return [f"({', '.join(contents)})"] if in_order else contents


def _noun(text: str, box: Box) -> str:
    """What the box is the value of, in words: values of different things are not exchanged."""
    named = _NOUN.search(text[max(0, box.start - 60) : box.start])
    noun = named[1].lower() if named is not None else ""
    return "" if _ANY_OF_THEM.search(noun) else noun


def _alone(text: str, box: Box) -> str:
    if (formula := whole_formula(text, box.start, box.end, box.content)) is not None:
        return formula
    behind = _UNIT_BEHIND.match(text[box.end : box.end + 60])
    return box.content.strip() + (" " + behind[1] if behind else "")


def _name(text: str, box: Box) -> str:
    named = _NAME.search(text[max(0, box.start - 40) : box.start])
    if named is None or named[2] in _NO_NAME:
        return ""
    return f"{named[1]}=" if named[1] else f"\\text{{{named[2]}: }}"


def _joined(text: str, earlier: Box, later: Box) -> bool:
    """The boxes are parts of one answer: one sentence that lists them, or alternatives."""
    between = text[earlier.end : later.start]
    if len(between) <= 200 and (_STEP.search(between) or taken_back(text, earlier.start, earlier.end)):
        return False
    if alternatives(text, (earlier.start, earlier.end), (later.start, later.end)):
        return True
    if len(between) > 200:
        return False
    # The sign of a name before the second box starts no new statement.
    named = _NAME.search(between)
    plain = between[: named.start()] if named else between
    one_sentence = not _NEW_SENTENCE.search(plain)
    return (one_sentence and _JOINS.search(between) is not None) or not _SPACING.sub("", between).strip(" $\\()[]\n")
