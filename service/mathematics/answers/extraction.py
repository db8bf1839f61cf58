r"""Where the final answer of a solution stands.

Policy, strongest first; the *last* statement wins, so that a candidate has one guess and not several
- A box (`\boxed{}`, `\fbox{}`; `rewright.service.mathematics.answers.boxes`), `#### 18`, `A: 18`, "the answer is …" in
  several languages (`…statements`). Boxes in one sentence, or joined by "or", "and" or a comma, are one answer with
  several parts (policy:multi-boxed): two values hedged between are a list, and a list is not its member.
- A box stands, whatever is stated behind it, unless that is a value as well: "\boxed{146}. The answer is positive".
- An empty box is no answer, whatever stands before it. A statement that is denied ("the answer is not 5",
  "\boxed{5} is wrong"), only supposed or quoted from the question states no answer
  (`rewright.service.mathematics.answers.context`).
- Serialised structures (JSON, YAML) state nothing (`rewright.service.mathematics.answers.serialised`).
- A box that is an operand (`-\boxed{5}`, `\boxed{5} \cdot 10^3`) stands for the formula around it. Of an option with
  its letter (`\textbf{(B)}\ 12`) the value counts, and the letter where letters are asked for.
- Else, for a text that is short or one piece of mathematics, the text itself. Else the value that its prose ends in
  (`rewright.service.mathematics.answers.prose`, policy:extraction); in brackets or bold, the same
  (policy:bracket-answer).

Only the last 50,000 characters are read for boxes and statements and the last 2,000 for anything else, so that the time
is linear. Not covered: answers stated in words ("twelve").
"""

import re
from dataclasses import dataclass

from rewright.service.mathematics.answers.boxes import Box, boxes, is_boxed, one_answer
from rewright.service.mathematics.answers.characters import plain_digits
from rewright.service.mathematics.answers.context import denied_inside, taken_back, visible
from rewright.service.mathematics.answers.normalisation import MAX_CHARACTERS
from rewright.service.mathematics.answers.prose import PROSE_WINDOW, last_value
from rewright.service.mathematics.answers.quantities import FORMULA, without_money_signs
from rewright.service.mathematics.answers.serialised import named_values, without_data
from rewright.service.mathematics.answers.statements import describes, held_by, last_statement
from rewright.service.mathematics.answers.wording import is_twisted

WINDOW = 50_000
_BARE = 80

_CONTROL_TOKEN = re.compile(r"<\|[^|<>]{1,30}\|>|</s>|<eos>|<end_of_turn>")
_REFUSAL = re.compile(
    r"\b(?:(?:do|did|can|could)(?:\s*not|n't)|unable to|impossible to)\s+(?:know|tell|determine|solve|find|answer"
    r"|decide|be\b)"
    r"|\bno\s+(?:solution|answer)s?\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(
    r"(?i:\b(?:is|are|was|the|therefore|thus|hence|so|we|here|have|get|gives?|equals?|obtain|first|then|costs?"
    r"|takes?|makes?|needs?|she|he|they|it|has|had|left|will|there|got|counted|found)\b)|\bI\s+[a-z]{2,}|[A-Za-z]:\s"
)
_THREE_WORDS = re.compile(r"(?<![A-Za-z])[A-Za-z]{3,}+ [A-Za-z]{2,}+ [A-Za-z]{2,}")
_PROSE = re.compile(r"(?<![\\a-zA-Z{])[A-Za-z]{4,}")
_FUNCTIONS = re.compile(
    r"(?:sqrt|(?:a|arc)?(?:sin|cos|tan)h?|theta|alpha|beta|gamma|delta|lambda|omega|sigma)", re.IGNORECASE
)
OPTION = re.compile(
    r"[\s$]*(?:\\(?:textbf|text|mathrm|mathbf|textrm|bf)\s*\{\s*)?(?:\(([A-J])\)[.:]?|([A-J])[.)])\s*+\}?+"
    r"(?:\s|\\[ ,;:!]|\\q?quad(?![a-z])|~|[.$])*+(?!\s)(?![\s\S]{0,200}(?:\([A-J]\)|\b[A-J][.)]))(.+)",
    re.DOTALL,
)
"""An option: its letter (one of two groups) and its value."""
_TEXT = re.compile(r"\\(?:text\w*|mathrm|mbox)\s*\{([^{}]*)\}")
_BOXED_SENTENCE = re.compile(
    r"[\s$]*[A-Za-z][A-Za-z\s'’_$\\-]{1,100}?(?:\s(?:is|are|equals?|was|will\s+be|would\s+be|has|have|had|gets?|got|costs?|needs?|takes?|earns?|makes?|pays?|saves?)\s|\s*[:=：]\s*)(.+)",
    re.DOTALL,
)
_REMARK = re.compile(
    r"\s*(?:\\(?:q?quad|[,;: ])\s*)*\\text\{\s*\(?\s*(?:or\s+)?(?:approximately|approx\.?|about|roughly)\s*\}?"
)
_SIGNED = re.compile(r"(?:negative|minus)\s+(?=\$?[\d\\(])", re.IGNORECASE)
_VALUE = re.compile(
    r"\d|\\(?!text|mathrm|mbox|quad|[,;:! ])[a-z]+|^\W*[A-Za-z]\W*$|[=<>]|(?i:\b(?:choice|option)[_ ]?\(?[A-J]\b)"
)
_NO_VALUE = re.compile(
    r"\b(?:undefined|(?:does|do|did)(?:\s+not|n't)\s+exist|no\s+(?:\w+\s+)?(?:solution|answer|value|such)|none|infinit\w+"
    r"|impossible|unknown|indeterminate|wrong|incorrect)",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"\W*(?:(?:the|grand|final)\s+)*(?:total|sum|result|answer)\s*[:=]\s*", re.IGNORECASE)
_OTHER_SCRIPT = re.compile(r"[^\x00-\x7f°×·−π∞²³]{3,}")
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Found:
    """The final answer as it stands in the text, without its box. `stated`: by a box or a sentence that says so;
    `sentence`: what that box or sentence holds, where the answer was taken out of more."""

    text: str
    stated: bool
    sentence: str | None = None


def find_answer(text: str, problem: str | None = None) -> Found | None:  # noqa: PLR0911 - a place each
    """The final answer, or None where the text states none. In prose, a value that `problem` states comes last."""
    tail = plain_digits(text[-WINDOW:])
    thought, _, after = tail.rpartition("</think>")
    tail = after if thought and after.strip() else tail
    tail = without_data(visible(_CONTROL_TOKEN.sub(" ", tail))).rstrip()
    if not tail.strip() or tail.endswith("####"):
        return None
    if tail.endswith("</answer>") and "<answer>" in tail:
        inner = tail.removesuffix("</answer>").rpartition("<answer>")[2]
        return find_answer(inner, problem) if inner.strip() else None
    statement = last_statement(tail)
    found = boxes(tail)
    if found and (statement is None or found[-1].end > statement.start):
        return _in_boxes(tail, found)
    if statement is not None:
        stated = None if taken_back(tail, statement.answer, len(tail)) else _stated(tail[statement.answer :], problem)
        if found and stated is not None and not _replaces(stated, found[-1]):
            return _in_boxes(tail, found)
        return stated
    if (pairs := named_values(tail)) is not None:
        total = _TOTAL.match(pairs[-1])
        return Found(pairs[-1][total.end() :] if total else ", ".join(pairs), stated=False)
    if is_bare(tail):
        return _without_label(without_stars(tail), stated=False)
    if _REFUSAL.search(tail[-200:]):
        return None
    ending = last_value(tail[-PROSE_WINDOW:], problem)
    return Found(ending.text, stated=False) if ending else None


def may_state(sentence: str) -> bool:
    """Whether the sentence has a box or words that announce an answer. Neither its value nor a denial is looked at."""
    return is_boxed(sentence) or last_statement(sentence.lstrip()) is not None


def _replaces(stated: Found, box: Box) -> bool:
    """A statement behind a box counts instead of it: a value behind a value, words behind words, or that none is."""
    held = stated.sentence or stated.text
    if _NO_VALUE.search(held):
        return True
    if describes(held):
        return False
    return (_VALUE.search(stated.text) is None) == (_VALUE.search(_TEXT.sub(r"\1", box.content)) is None)


def _in_boxes(text: str, found: list[Box]) -> Found | None:
    last = found[-1]
    if last.is_empty or taken_back(text, last.start, last.end) or denied_inside(last.content):
        return None
    parts = one_answer(text, found)
    if len(parts) > 1:
        return Found(", ".join(parts), stated=True)
    content = _REMARK.sub(r" \\approx ", parts[0], count=1) if "\\text" in parts[0] else parts[0]
    if "\\approx" in content and content != parts[0]:
        content = re.sub(r"\\text\{\s*\)?\s*\}\s*$|[)}\s]+$", "", content)
    return _without_label(
        _value_of_sentence(content), stated=True, whole=last.content if parts[0] == last.content.strip() else None
    )


def _value_of_sentence(content: str) -> str:
    r"""`\text{The total is } 18` is 18; what holds more than one value stays as it is."""
    plain = _TEXT.sub(r" \1 ", content) if "\\text" in content else content
    match = _BOXED_SENTENCE.fullmatch(plain) if re.search(r"[A-Za-z]{2,}\s", plain) else None
    if match is None or len(plain) > 400:
        return content
    words = re.sub(r"\\[a-z]+", " ", plain[: match.start(1)])
    if not re.search(r"[A-Za-z]{3,}", words) or is_twisted(words) or not is_bare(match[1]):
        return content
    if re.search(r"\b(?:and|if|not)\b", match[1]):
        return content
    return match[1].strip()


def _without_label(text: str, *, stated: bool, whole: str | None = None) -> Found:
    """An option's value; its letter stays in the sentence."""
    option = OPTION.fullmatch(text) if len(text) < MAX_CHARACTERS else None
    if option is not None:
        return Found(option[3].strip(), stated, text)
    return Found(text, stated, whole if whole is not None and whole != text else None)


def _stated(text: str, problem: str | None) -> Found | None:
    sentence = held_by(text[:PROSE_WINDOW])
    if not sentence:
        return None
    if _SIGNED.match(sentence):
        sentence = _SIGNED.sub("-", sentence, count=1)
    if (pairs := named_values(sentence)) is not None:
        return Found(", ".join(pairs), stated=True)
    plain = without_money_signs(sentence)
    if is_bare(sentence) and not (_IDEOGRAPH.search(plain) and re.search(r"\d", plain)):
        return _without_label(sentence, stated=True)
    value = last_value(sentence, problem)
    return Found(value.text, True, sentence) if value else Found(sentence, stated=True)


def without_stars(text: str) -> str:
    """The text without the stars of Markdown's bold around the whole."""
    text = text.strip()
    return text[2:-2] if text.startswith("**") and text.endswith("**") and "**" not in text[2:-2] else text


def is_bare(text: str) -> bool:
    """The text is one answer and nothing else: no sentence around it."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        return False
    math = FORMULA.fullmatch(text)
    if math is not None:
        return True
    outside = re.sub(r"\\text\w*\{[^{}]*\}|\\[a-zA-Z]+\*?(?:\{[a-z]*matrix\})?", " ", FORMULA.sub(" ", text))
    words = [word for word in _PROSE.findall(outside) if not _FUNCTIONS.fullmatch(word)]
    if (
        _SENTENCE.search(outside)
        or len(words) > 3
        or (len(words) > 1 and text.lstrip("*")[:1].isalpha() and re.search(r"\d", text))
    ):
        return False
    if len(text) > _BARE and _THREE_WORDS.search(outside):
        return False
    # Other scripts and further sentences are prose.
    return not (_OTHER_SCRIPT.search(text) or re.search(r"\. [A-Z]|(?<=[A-Za-z])[?!]\s", text))
