"""What of a candidate a judge is shown: all of it, and its beginning up to its answer where it goes on behind that.

Promises: the beginning depends only on what stands in it, so whatever is appended behind a stated answer leaves it as
it was; a verdict by the lowest score of the readings can therefore be lowered by what is appended and not raised.
- It ends with the sentence (or line) that first *states* the reference's answer: a box, "the answer is". Only where no
  statement does, one that cannot be compared will do.
- Where none is stated, it is the shortest that reaches the reference's answer and behind which nothing is computed.
- Where what follows only repeats ("So the jars left are 42. # Answer 42"), without a word or number that is not there
  before (the numbers of steps and the answer itself aside), it is all one text: nobody is talked round by that, and a
  second reading would cost sound solutions, which end like this more often.

The time is linear: each of at most `_CHECKS` places reads `_WINDOW` characters. Pure.
Not covered: text put before the answer; a candidate that states no answer and computes something behind it.
"""

import re

from rewright.service.mathematics.answers.extraction import find_answer, may_state
from rewright.service.mathematics.answers.same_answer import same_final_answer
from rewright.service.mathematics.equations.words import words
from rewright.service.mathematics.reasoning.bare_answer import TOKEN

READINGS = ("whole", "to_right_answer_unless_repeated")
"""The names of what `readings` gives, in its order."""

_SENTENCE_END = re.compile(r"\n|(?<=[.?])\s|(?<=!)\s(?!\s*[-+*/=×·])|(?<=[。！？])")
_CALCULATION = re.compile(r"\d[\s)\]}%$]*(?:[-+*/×÷^=<>≈]|\\(?:times|cdot|div|approx|pm)\b)[\s$({\[]*[-−]?[\d\\]")
_STATED_WITHIN = 3
"""Sentences, the one with the words that announce an answer included, in which that answer may stand."""
_CHECKS = 48
_WINDOW = 2_000
_LONGEST_REPEAT = 240
_REPEATING = words(
    """
    the a an is are it its so therefore thus hence and in of to be final answer answers result solution equals equal
    choice option that this which means i we our my s \\boxed \\fbox \\text \\left \\right \\frac \\dfrac \\tfrac
    """
)
_LABEL = re.compile(
    r"^\s*(?:step\s*\d{1,3}\s*[.:]|#?\d{1,3}[.:)])(?:\s*\(by[\s#\d,]{1,40}\))?\s", re.IGNORECASE | re.MULTILINE
)
"""The number of a step, and the steps that it rests on."""
_VERDICTS = words("true false valid invalid yes no correct incorrect right wrong sound unsound verified ok okay")
"""Never a mere repetition, even where the problem has them."""


def readings(candidate: str, gold: str, *, problem: str = "") -> tuple[str, ...]:
    """The whole, stripped of outer white space, and where more follows than repetition, its beginning up to its answer.

    gold: the reference solution, or the gold answer alone.
    """
    whole = candidate.strip()
    ends = [*(match.start() for match in _SENTENCE_END.finditer(whole)), len(whole)]
    end = _first_stated(whole, ends, gold)
    if end is None:
        end = _last_computed(whole, ends, gold)
    beginning = whole[:end].rstrip()
    found = find_answer(gold)
    known = f"{problem} {beginning[-_WINDOW:]} {'' if found is None else found.text}"
    return (whole,) if _only_repeats(whole[len(beginning) :], known) else (whole, beginning)


def _only_repeats(tail: str, known: str) -> bool:
    if len(tail) > _LONGEST_REPEAT:
        return False
    tail = _LABEL.sub("", tail)
    said = {token.lower() for token in TOKEN.findall(tail)}
    # A tick or another sign that is no token may be a verdict, too.
    if not said.isdisjoint(_VERDICTS) or not TOKEN.sub("", tail).isascii():
        return False
    return said <= {token.lower() for token in TOKEN.findall(known)} | _REPEATING


def _first_stated(whole: str, ends: list[int], gold: str) -> int | None:
    start = checks = due = 0
    unread = None
    for end in ends:
        sentence = whole[start:end]
        start = end
        if not sentence.strip():
            continue
        if may_state(sentence):
            due = _STATED_WITHIN
        if due and checks < _CHECKS:
            due -= 1
            checks += 1
            beginning = whole[max(0, end - _WINDOW) : end]
            found = find_answer(beginning)
            same = same_final_answer(gold, beginning) if found is not None and found.stated else False
            if same:
                return end
            if same is None and unread is None:
                unread = end
    return unread


def _last_computed(whole: str, ends: list[int], gold: str) -> int | None:
    shortest = None
    for start, end in list(zip([0, *ends], ends, strict=False))[: -_CHECKS - 1 : -1]:
        sentence = whole[start:end]
        if not sentence.strip():
            continue
        if same_final_answer(gold, whole[max(0, end - _WINDOW) : end]):
            shortest = end
        if _CALCULATION.search(sentence):
            break
    return shortest
