"""Where an answer begins behind a generation prompt: after what closes a reasoning part, or names the answer's channel.

The generation prompt and the text in front of a rendered answer often differ: one opens a thinking block or has an
empty one, the other names a channel. What is written in between belongs to neither question nor answer; it is given to
generation and stands in front of what is scored, so that both begin at the same place. Nothing is guessed: what cannot
be learnt from renderings is `Unsplittable`.
"""

import re
from itertools import takewhile
from typing import NamedTuple

_PARTS = re.compile(r"<[^<>\s]*>|\[[^\[\]\s]*\]|\s+|[^\s<\[]+|.", re.DOTALL)
_MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")
_SIDES = re.compile(r"[^a-z]|start|begin|end")
"""What the two marks around one part differ in: "<think>" and "</think>", "<|START_X|>" and "<|END_X|>"."""

_ANOTHER_MODEL = (
    "use another model, put a plainer chat_template.jinja into its folder, or give the template other variables "
    "(template_args)"
)
_SAY_IT = (
    "set answer_prefix to what stands between the generation prompt and the answer (for an open thinking block what "
    'closes it, such as "\\n</think>\\n\\n"), or switch thinking off by template_args'
)


class Unsplittable(Exception):
    """Why a template cannot be split around an answer; `way` is what helps."""

    def __init__(self, why: str, way: str = _ANOTHER_MODEL) -> None:
        super().__init__(why)
        self.way = way


class Reasoning(NamedTuple):
    """opened: all between a question and its reasoning; closing: all between the reasoning and the answer."""

    opened: str
    closing: str


class Answering(NamedTuple):
    """prefix: what is added to the generation prompt; lead: white space that the answer itself begins with."""

    prefix: str
    lead: str


def place_of_answer(*, asked: str, answered: str, reasoning: Reasoning | None) -> Answering:
    """asked: the text behind a question up to the end of the generation prompt; answered: the text between a question
    and its rendered answer. Raises `Unsplittable`."""
    extra, more = _apart(asked, answered)
    if not extra.strip():
        return _where_the_answer_has_more(extra, more)
    if more.strip() and asked.endswith(more):
        return Answering("", "")  # both end alike: the same part closed, once written as opened before
    if _is_closed(extra, reasoning):
        return _where_the_answer_has_more("", more)
    if reasoning is not None and not more.strip() and reasoning.opened.rstrip() == asked.rstrip():
        rest_of_opening = reasoning.opened[len(asked) :]  # white space, where the generation prompt has less of it
        return Answering(rest_of_opening + reasoning.closing, "")
    raise Unsplittable(f"its generation prompt ends with {extra!r}, which does not stand before an answer", _SAY_IT)


def _where_the_answer_has_more(extra: str, more: str) -> Answering:
    """extra, more: how generation prompt and rendered answer go on behind what they share; extra is white space."""
    if not more.startswith(extra) and more:
        raise Unsplittable("its generation prompt does not stand before the answer when it renders one", _SAY_IT)
    more = more.removeprefix(extra)
    if not more.strip():
        return Answering("", more)
    # A space at the end is written by the model, with its first word.
    kept = more.rstrip(" ")
    return Answering(kept, more[len(kept) :])


def _is_closed(extra: str, reasoning: Reasoning | None) -> bool:
    """Whether a generation prompt's own text is a part that is opened and closed, such as an empty thinking block."""
    if reasoning is not None and reasoning.closing.strip() and extra.strip().endswith(reasoning.closing.strip()):
        return True
    marks = _MARK.findall(extra)
    if len(marks) < 2 or marks[0] == marks[-1]:
        return False
    first, last = (_SIDES.sub("", mark.lower()) for mark in (marks[0], marks[-1]))
    return bool(first) and first == last and extra.strip().endswith(marks[-1])


def _apart(one: str, other: str) -> tuple[str, str]:
    """Both without what they begin with alike, cut between marks, words and white space."""
    pairs = zip(_PARTS.findall(one), _PARTS.findall(other), strict=False)
    shared = sum(len(a) for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return one[shared:], other[shared:]
