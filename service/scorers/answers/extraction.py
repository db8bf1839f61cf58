r"""Where the final answer of a solution stands.

Policy, strongest first; the *last* statement wins, so that a candidate has one guess and not several
- A box (`\boxed{}`, `\fbox{}`), `#### 18`, `A: 18`, "the answer is …" in several languages. Boxes in one sentence, or
  joined by "or", "and" or a comma, are one answer with several parts (policy:multi-boxed): two values hedged between
  are a list, and a list is not its member.
- An empty box is no answer, whatever stands before it. A statement that is negated ("the answer is not 5",
  "\boxed{5} is wrong") or a question states no answer.
- Else, for a text that is short or one piece of mathematics, the text itself. Else the last formula, or the last number
  in the prose, whichever stands later (policy:extraction); in brackets or bold, the same (policy:bracket-answer).

Only the last 50,000 characters are read, so that the time is linear. Not covered: answers stated in words ("twelve").
"""

import re
from dataclasses import dataclass

from service.scorers.answers.normalisation import closing_brace

WINDOW = 50_000
_BARE = 80

_CONTROL_TOKEN = re.compile(r"<\|[^|<>]{1,30}\|>|</s>|<eos>|<end_of_turn>")
_BOX = re.compile(r"\\f?box(?:ed)?\s*(?=\{)|\\boxed\s+(?=\S)")
_STATEMENT = re.compile(
    r"^\s*####(?=[ \t]*\S)|^\s*\**A\**\s*:|(?i:final\s+answer\**\s*(?:is|:|=)|\banswers?\**\s*:"
    r"|\banswers?\b[^.\n]{0,40}?\s(?:is|are|would\s+be|must\s+be|should\s+be)\b"
    r"|^\s*(?:Solution|Correct\s+Choice)\s*:(?=[ \t]*\S)"
    r"|réponse\s+(?:est|:)|respuesta\s+es|antwort\s+ist"
    r"|答案(?:是|为|：|:))|^\s*(?:Final\s+)?Answer\b(?=\s*[$\\]).{0}",
    re.MULTILINE,
)
_STATEMENT_END = re.compile(r"\.(?=\s|$)|。|\n\s*\n|\n(?=[A-Z][a-z])|I hope it is correct")
_NEGATED_BEFORE = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bnor|other than|except|rather than|cannot(?: be)?|(?:not|n't) be)[\s:*$(\[{\\]*$",
    re.IGNORECASE,
)
_NEGATED_AFTER = re.compile(
    r"[\s$.)\]*]*(?:is|was|would be|were|are)(?:\s+(?:not|wrong|incorrect|false|impossible|never)|n't)"
    r"|[\s$.)\]*]*(?:isn't|cannot be|can't be)|[\s$)\]*]*\((?:wrong|incorrect|false|not)",
    re.IGNORECASE,
)
_NEGATED_START = re.compile(r"[\s:*$(\[{\\]*(?:not|never|neither|n't|anything but|unknown)\b", re.IGNORECASE)
_JOINS = re.compile(r"(?i:\b(?:and|or|either|maybe|perhaps|possibly|alternatively)\b)|[,;]")
_FORMULA = re.compile(
    r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$|\\\(((?:[^\\]|\\[^()]){1,2000}?)\\\)|\\\[((?:[^\\]|\\[^\[\]]){1,4000}?)\\\]"
)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.,^_{/])[-−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:/\d+)?|(?=\.\d))(?:\.\d+)?(?:\s*\\?%)?(?![A-Za-z0-9^_{])"
)
_SENTENCE = re.compile(
    r"(?i:\b(?:is|are|was|the|therefore|thus|hence|so|we|here|have|get|gives?|equals?|obtain|first|then)\b)|[A-Za-z]:\s"
)
_PROSE = re.compile(r"(?<![\\a-zA-Z{])[A-Za-z]{4,}")


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
    tail = _CONTROL_TOKEN.sub(" ", tail).rstrip()
    if not tail.strip():
        return None
    statement = _last_statement(tail)
    boxes = _boxes(tail)
    if boxes and (statement is None or boxes[-1].end > statement[0]):
        return _answer_in_boxes(tail, boxes)
    if statement is not None:
        return _stated(tail[statement[1] :])
    if _is_bare(tail):
        return Found(tail.strip(), stated=False)
    return _last_value(tail)


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
        elif (closing := closing_brace(text, match.end())) is not None:
            content, end = text[match.end() + 1 : closing], closing + 1
        else:
            line = text[match.end() + 1 :].partition("\n")[0]
            content, end = line.rstrip().rstrip("$").rstrip(".\\)]"), match.end() + 1 + len(line)
        inside = end
        found.append(_Box(match.start(), end, content))
    return found


def _answer_in_boxes(text: str, boxes: list[_Box]) -> Found | None:
    last = boxes[-1]
    if not last.content.strip(" \t\n$\\{}~,.") or _NEGATED_AFTER.match(text[last.end : last.end + 60]):
        return None
    if _NEGATED_BEFORE.search(text[max(0, last.start - 40) : last.start]):
        return None
    if _NEGATED_START.match(re.sub(r"\\text\w*\{", "", last.content)):
        return None
    parts = [last.content]
    for earlier, later in zip(reversed(boxes[:-1]), reversed(boxes), strict=False):
        between = text[earlier.end : later.start]
        if not _joined(between):
            break
        parts.insert(0, earlier.content)
    if len({re.sub(r"\s", "", part) for part in parts}) == 1:
        trailing = re.match(r"[\s$)\]\\]*(\\?%|percent|pct|\\text\{[^{}]{1,30}\})", text[last.end : last.end + 60])
        return Found(last.content.strip() + (" " + trailing[1] if trailing else ""), stated=True)
    return Found(", ".join(part.strip() for part in parts), stated=True)


def _joined(between: str) -> bool:
    """Boxes with this between them are parts of one answer: one sentence that lists, or an alternative."""
    if len(between) > 200:
        return False
    one_sentence = not re.search(r"[.!?。]\s|\n\s*\n|\\implies|\\Rightarrow|=(?!\s*$)", between)
    return (
        (one_sentence and _JOINS.search(between) is not None)
        or not between.strip(" $\\()[]\n")
        or (
            re.match(r"[\s$.)\]\\]*(?:or|either|maybe|perhaps|possibly|alternatively)\b", between, re.IGNORECASE)
            is not None
        )
    )


def _last_statement(text: str) -> tuple[int, int] | None:
    """Where the last sentence that states the answer starts, and where its answer starts."""
    last = None
    for match in _STATEMENT.finditer(text):
        last = match
    return (last.start(), last.end()) if last is not None else None


def _stated(text: str) -> Found | None:
    text = re.sub(r"^[\s:*]*(?:(?:is|are)\b)?[\s:*]*(?:\n|\\n)*", "", text[:5_000], count=1)
    if _NEGATED_START.match(text):
        return None
    end = _STATEMENT_END.search(text.lstrip())
    sentence = text.lstrip()[: end.start()] if end else text
    sentence = sentence.strip().strip("*").strip()
    if not sentence:
        return None
    if _is_bare(sentence):
        return Found(sentence, stated=True)
    lone = _FORMULA.match(sentence)
    if lone and _NEGATED_AFTER.match(sentence[lone.end() :]):
        return None
    value = _last_value(sentence)
    return Found(value.text, True, sentence) if value else Found(sentence, stated=True)


def _is_bare(text: str) -> bool:
    """The text is one answer and nothing else: no sentence around it."""
    text = text.strip()
    math = _FORMULA.fullmatch(text)
    if math is not None:
        return True
    outside = re.sub(r"\\text\w*\{[^{}]*\}|\\[a-zA-Z]+\*?(?:\{[a-z]*matrix\})?", " ", _FORMULA.sub(" ", text))
    words = _PROSE.findall(outside)
    if _SENTENCE.search(outside) or len(words) > 3 or (len(words) > 1 and text[0].isalpha() and re.search(r"\d", text)):
        return False
    if len(text) > _BARE and re.search(r"[A-Za-z]{3,} [A-Za-z]{2,} [A-Za-z]{2,}", outside):
        return False
    # Other scripts and further sentences are prose.
    return not re.search(r"[^\x00-\x7f°×·−π∞²³]{3,}|\. [A-Z]|(?<=[A-Za-z])[?!]\s", text)


def _last_value(text: str) -> Found | None:
    formula = number = None
    for formula in _FORMULA.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    for number in _NUMBER.finditer(text):  # noqa: B007
        pass
    if formula is not None and (number is None or number.start() < formula.end()):
        inner = next(group for group in formula.groups() if group is not None)
        after = re.match(r"\s*(\\?%|percent|pct)", text[formula.end() :])
        if _NEGATED_BEFORE.search(text[max(0, formula.start() - 40) : formula.start()]):
            return None
        return Found(inner.strip() + (after[1] if after else ""), stated=False)
    # What a question asks about is not its answer.
    if number is None or text[number.end() :].lstrip(" .$)*").startswith("?"):
        return None
    if _NEGATED_BEFORE.search(text[max(0, number.start() - 40) : number.start()]):
        return None
    return Found(number[0].strip(), stated=False)
