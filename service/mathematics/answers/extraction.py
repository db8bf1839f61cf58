r"""Where the final answer of a solution stands.

Policy, strongest first; the *last* statement wins, so that a candidate has one guess and not several
- A box (`\boxed{}`, `\fbox{}`), `#### 18`, `A: 18`, "the answer is …" in several languages. Boxes in one sentence, or
  joined by "or", "and" or a comma, are one answer with several parts (policy:multi-boxed): two values hedged between
  are a list, and a list is not its member.
- An empty box is no answer, whatever stands before it. A statement that is denied ("the answer is not 5",
  "\boxed{5} is wrong"), only supposed or quoted from the question states no answer
  (`rewright.service.mathematics.answers.context`).
- Serialised structures (JSON, YAML) state nothing (`rewright.service.mathematics.answers.serialised`).
- A box that is an operand (`-\boxed{5}`, `\boxed{5} \cdot 10^3`) stands for the formula around it.
- Else, for a text that is short or one piece of mathematics, the text itself. Else the last formula, or the last number
  in the prose, whichever stands later (policy:extraction); in brackets or bold, the same (policy:bracket-answer).

Only the last 50,000 characters are read for boxes and statements and the last 2,000 for anything else, so that the time
is linear. Not covered: answers stated in words ("twelve").
"""

import re
from dataclasses import dataclass

from rewright.service.mathematics.answers.context import (
    alternatives,
    denied_inside,
    sentence_before,
    taken_back,
    visible,
    whole_formula,
)
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS, closing_brace
from rewright.service.mathematics.answers.serialised import without_data

WINDOW = 50_000
_BARE = 80
_PROSE_WINDOW = 2_000

_CONTROL_TOKEN = re.compile(r"<\|[^|<>]{1,30}\|>|</s>|<eos>|<end_of_turn>")
_BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)|\\boxed\s+(?=\S)")
# Each starts with plain characters, which the search skips to fast, and repeats nothing without a limit.
_LINE_STATEMENT = re.compile(
    r"\n[ \t]{0,20}(?:####(?=[ \t]*\S)|\**A\**[ \t]*:|(?i:solution|correct\s+choice)[ \t]*:(?=[ \t]*\S)"
    r"|(?:Final\s)?Answer\b(?=\s?[$\\]))"
)
_STATEMENT = re.compile(
    r"(?<![A-Za-z])[aA](?:(?i:nswers?)\b(?:\**\s?[:=]"
    r"|(?:(?!\sand\s)[^.\n]){0,40}?\s(?i:is|are|(?:would|must|should)\s+be)\b(?!\s+(?:correct|right|valid"
    r"|reasonable)\b))"
    r"|ntwort\s+ist)"
)
_FOREIGN_STATEMENT = re.compile(r"(?i:\bcorrection\s*:|réponse\s+(?:est|:)|respuesta\s+es)|答案(?:是|为|：|:)")
_FOREIGN = ("orrection", "éponse", "espuesta", "答案")
_STATEMENT_END = re.compile(
    r"\.(?=\s|$)|。|\n\s*\n|\n(?=[A-Z][a-z])|I hope it is correct"
    r"|,\s+(?=(?:not|rather than|instead of|since|because)\b)"
)
_REFUSAL = re.compile(
    r"\b(?:(?:do|did|can|could)(?:\s*not|n't)|unable to|impossible to)\s+(?:know|tell|determine|solve|find|answer"
    r"|decide|be\b)"
    r"|\bno\s+(?:solution|answer)s?\b",
    re.IGNORECASE,
)
_NEGATED_START = re.compile(r"[\s:*$(\[{\\]*(?:not|never|neither|n't|anything but|unknown)\b", re.IGNORECASE)
_EMPTY_SET = re.compile(r"[\s$]*\\\{\s*\\\}[\s$]*")
_SPACING = re.compile(r"\\(?:q?quad|enspace|thinspace|,|;|:|!|hspace\{[^{}]*\})")
_CORRECTED = re.compile(r"[^.;,\n]{1,60}[;,]\s+(?:but\s+)?(?:rather\s+)?it(?:'s|\s+is)\s+(?!not\b)", re.IGNORECASE)
_JOINS = re.compile(r"(?i:\b(?:and|or|either|maybe|perhaps|possibly|alternatively)\b)|[,;]")
_LISTED_BEFORE = re.compile(
    r"([-\d][\d.,/]*+)\$?\s*(?:[A-Za-z]{2,}\s+){0,2}?,?\s*(?:\bor\s+(?:[a-z]+\s+){0,2}"
    r"|\b(?:(?:but|and|though|it|this|that)\s+){0,3}(?:may|might|could|can)\s+(?:also|equally|as well|instead)\s+be\s+"
    r")\$?$|\b(any|one|some|all) of\b[^.]{1,60}$"
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
FORMULA = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\(((?:[^\\]|\\[^()]){1,2000}?)\\\)|\\\[((?:[^\\]"
    r"|\\[^\[\]]){1,4000}?)\\\]"
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.,^_{/])(?<![A-Za-z]\()[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:/\d+)?"
    r"|(?=\.\d))(?:\.\d+)?(?:\s*\\?%)?(?![A-Za-z0-9^_{])"
)
_SENTENCE = re.compile(
    r"(?i:\b(?:is|are|was|the|therefore|thus|hence|so|we|here|have|get|gives?|equals?|obtain|first|then|costs?"
    r"|takes?|makes?|needs?|she|he|they|it|has|had|left|will|there)\b)|[A-Za-z]:\s"
)
_THREE_WORDS = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,}+ [A-Za-z]{2,}+ [A-Za-z]{2,}")
_PROSE = re.compile(r"(?<![\\a-zA-Z{])[A-Za-z]{4,}")
_FUNCTIONS = re.compile(
    r"(?:sqrt|(?:a|arc)?(?:sin|cos|tan)h?|theta|alpha|beta|gamma|delta|lambda|omega|sigma)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Found:
    """The final answer as it stands in the text, without its box. `stated`: by a box or a sentence that says so;
    `sentence`: what that box or sentence holds, where the answer was taken out of more."""

    text: str
    stated: bool
    sentence: str | None = None


def find_answer(text: str) -> Found | None:
    """The final answer, or None where the text states none."""
    tail = text[-WINDOW:]
    thought, _, after = tail.rpartition("</think>")
    tail = after if thought and after.strip() else tail
    tail = without_data(visible(_CONTROL_TOKEN.sub(" ", tail))).rstrip()
    if not tail.strip() or tail.endswith("####"):
        return None
    if tail.endswith("</answer>") and "<answer>" in tail:
        inner = tail.removesuffix("</answer>").rpartition("<answer>")[2]
        return find_answer(inner) if inner.strip() else None
    statement = _last_statement(tail)
    boxes = _boxes(tail)
    if boxes and (statement is None or boxes[-1].end > statement[0]):
        return _answer_in_boxes(tail, boxes)
    if statement is not None:
        return None if taken_back(tail, statement[1], len(tail)) else _stated(tail[statement[1] :])
    if _is_bare(tail):
        return Found(_without_stars(tail), stated=False)
    return None if _REFUSAL.search(tail[-200:]) else _last_value(tail[-_PROSE_WINDOW:])


def may_state(sentence: str) -> bool:
    """Whether the sentence has a box or words that announce an answer. Neither its value nor a denial is looked at."""
    return _BOX.search(sentence) is not None or _last_statement(sentence.lstrip()) is not None


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    end: int
    content: str


def _boxes(text: str) -> list[_Box]:
    """The last boxes, at most 64; a box that is never closed runs to the end of its line."""
    found: list[_Box] = []
    inside = -1
    for match in list(_BOX.finditer(text))[-64:]:
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
        found.append(_Box(match.start(), end, content))
    return found


def _answer_in_boxes(text: str, boxes: list[_Box]) -> Found | None:
    last = boxes[-1]
    if not last.content.strip(" \t\n$\\{}~,.") and not _EMPTY_SET.fullmatch(last.content):
        return None
    if taken_back(text, last.start, last.end) or denied_inside(last.content):
        return None
    parts = [last.content]
    for earlier, later in zip(reversed(boxes[:-1]), reversed(boxes), strict=False):
        if not _joined(text, earlier, later):
            break
        parts.insert(0, earlier.content)
    if len({re.sub(r"\s", "", part) for part in parts}) == 1:
        if (formula := whole_formula(text, last.start, last.end, last.content)) is not None:
            return Found(formula, stated=True)
        trailing = re.match(r"[\s$)\]\\]*(\\?%|percent|pct|\\text\{[^{}]{1,30}\})", text[last.end : last.end + 60])
        return Found(last.content.strip() + (" " + trailing[1] if trailing else ""), stated=True)
    return Found(", ".join(part.strip() for part in parts), stated=True)


def _joined(text: str, earlier: _Box, later: _Box) -> bool:
    """The boxes are parts of one answer: one sentence that lists them, or alternatives."""
    if alternatives(text, (earlier.start, earlier.end), (later.start, later.end)):
        return True
    between = text[earlier.end : later.start]
    if len(between) > 200:
        return False
    one_sentence = not re.search(r"[.!?。]\s|\n\s*\n|\\implies|\\Rightarrow|=(?!\s*$)", between)
    return (one_sentence and _JOINS.search(between) is not None) or not _SPACING.sub("", between).strip(" $\\()[]\n")


def _last_statement(text: str) -> tuple[int, int] | None:
    """Where the last sentence that states the answer starts, and where its answer starts."""
    places = [(match.start() - 1, match.end() - 1) for match in _LINE_STATEMENT.finditer("\n" + text)]
    if "nswer" in text or "NSWER" in text or "ntwort" in text:
        places += [match.span() for match in _STATEMENT.finditer(text)]
    if any(word in text for word in _FOREIGN):
        places += [match.span() for match in _FOREIGN_STATEMENT.finditer(text)]
    return max(places, default=None, key=lambda place: place[1])


def _stated(text: str) -> Found | None:
    text = re.sub(r"^[\s:*]*(?:(?:is|are)\b)?[\s:*]*(?:\n|\\n)*", "", text[:_PROSE_WINDOW], count=1)
    if _NEGATED_START.match(text):
        corrected = _CORRECTED.match(text)
        if corrected is None:
            return None
        text = text[corrected.end() :]
    end = _STATEMENT_END.search(text.lstrip())
    sentence = text.lstrip()[: end.start()] if end else text
    sentence = sentence.strip().strip("*").strip()
    if not sentence:
        return None
    if _is_bare(sentence):
        return Found(sentence, stated=True)
    value = _last_value(sentence)
    return Found(value.text, True, sentence) if value else Found(sentence, stated=True)


def _without_stars(text: str) -> str:
    """The text without the stars of Markdown's bold around the whole."""
    text = text.strip()
    return text[2:-2] if text.startswith("**") and text.endswith("**") and "**" not in text[2:-2] else text


def _is_bare(text: str) -> bool:
    """The text is one answer and nothing else: no sentence around it."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        return False
    math = FORMULA.fullmatch(text)
    if math is not None:
        return True
    outside = re.sub(r"\\text\w*\{[^{}]*\}|\\[a-zA-Z]+\*?(?:\{[a-z]*matrix\})?", " ", FORMULA.sub(" ", text))
    words = [word for word in _PROSE.findall(outside) if not _FUNCTIONS.fullmatch(word)]
    if _SENTENCE.search(outside) or len(words) > 3 or (len(words) > 1 and text[0].isalpha() and re.search(r"\d", text)):
        return False
    if len(text) > _BARE and _THREE_WORDS.search(outside):
        return False
    # Other scripts and further sentences are prose.
    return not re.search(r"[^\x00-\x7f°×·−π∞²³]{3,}|\. [A-Z]|(?<=[A-Za-z])[?!]\s", text)


def _last_value(text: str) -> Found | None:
    formula = number = None
    for formula in FORMULA.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    for number in _NUMBER.finditer(text):  # noqa: B007
        pass
    if formula is not None and (number is None or number.start() < formula.end()):
        start, end = formula.span()
        value = next(group for group in formula.groups() if group is not None).strip()
        after = re.match(r"\s*(\\?%|percent|pct)", text[end:])
        value += after[1] if after else ""
    elif number is not None:
        start, end = number.span()
        value = number[0].strip()
    else:
        return None
    if taken_back(text, start, end):
        return None
    before = sentence_before(text, start)
    if _PART_OF_MORE.search(before):
        return Found(before + value, stated=False)
    if (listed := _LISTED_BEFORE.search(before)) and listed[1] != value:
        return Found(f"{listed[1] or listed[2]}, {value}", stated=False)
    return Found(value, stated=False)
