"""A chat template as transformers renders it, and the text that it writes around a question and an answer.

The template is rendered for conversations of sentinels (a question, an answer, the next question, a reasoning) and
split at them, so that each family's own spacing, channels and end of turn are kept. Promises: one that cannot be split,
or fails, is a `ModelError` that says why and which setting helps.

Not covered: which of the texts are control tokens, and where the turn ends among them
(`rewright.service.models.end_of_turn`).
"""

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rewright.service.models.answer_place import Answering, Reasoning, Unsplittable, place_of_answer
from rewright.service.models.errors import ModelError
from rewright.service.models.rendering import Rendering

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]
"""A turn: `role` and `content`."""

PROBLEM = "sentinelproblemq"
ANSWER = "sentinelanswerq"
_NEXT = "sentinelnextq"
_REASONING = "sentinelreasoningq"
_PADDING = " \n "
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Under which templates look for the reasoning of an answer."""


class Skeleton(NamedTuple):
    """The template's own text: before the problem (`head`), behind it up to where an answer is generated (`asked`,
    `answer_prefix`), white space that the answer begins with (`lead`), what follows an answer that another question
    follows (`before_next`) and one that is the last turn (`at_the_end`); "" where the template cannot render that.
    """

    head: str
    asked: str
    answer_prefix: str
    lead: str
    before_next: str
    at_the_end: str
    closes_reasoning: str
    """What the template writes between a reasoning and its answer; "" where it takes no reasoning."""
    trims_left: bool
    trims_right: bool

    @property
    def written(self) -> str:
        """All that the template wrote itself around one question and its answer."""
        return self.head + self.asked + self.answer_prefix + self.lead + self.before_next + self.at_the_end


class Renderer:
    """One tokenizer's template with pinned variables.

    setting: the block that the model comes from, for error messages. Raises `ModelError` for a date that is none.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", rendering: Rendering, *, setting: str) -> None:
        try:
            today = datetime.datetime.fromisoformat(rendering.template_date)
        except ValueError:
            raise ModelError(
                f"{setting}.template_date: {rendering.template_date!r} is no ISO date; write one like 2025-01-01"
            ) from None
        self.setting = setting
        self._tokenizer: Any = tokenizer
        # A template's variable hides the global function of the same name that reads the clock.
        self.variables: dict[str, Any] = {"strftime_now": today.strftime, **rendering.template_args}
        self._in_parts = False

    def __call__(self, turns: Sequence[Message], *, generation_prompt: bool) -> str:
        """The conversation as text. Raises `ModelError` where the template fails on it."""
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    [_in_parts(turn) for turn in turns] if self._in_parts else [dict(turn) for turn in turns],
                    tokenize=False,
                    add_generation_prompt=generation_prompt,
                    **self.variables,
                )
            )
        except Exception as error:
            roles = " and ".join(str(turn["role"]) for turn in turns)
            raise ModelError(
                f"{self.setting}.model: the chat template of the model fails on turns of {roles} ({error}); fix the "
                "template, or give it other variables (template_args)"
            ) from error

    def choose_content_form(self) -> None:
        """Templates of vision-language models may take a turn's text as a list of parts alone."""
        turn = {"role": "user", "content": PROBLEM}
        if PROBLEM in self._or_nothing([turn], generation_prompt=True):
            return
        self._in_parts = True
        if PROBLEM not in self._or_nothing([turn], generation_prompt=True):
            self._in_parts = False

    def _or_nothing(self, turns: Sequence[Message], *, generation_prompt: bool = False) -> str:
        try:
            return self(turns, generation_prompt=generation_prompt)
        except ModelError:
            return ""

    # --- what it writes around sentinels ------------------------------------------------------------------------------

    def asked(self) -> tuple[str, str]:
        """Before the question, and behind it up to the end of the generation prompt."""
        before, after = _cut(self([_question()], generation_prompt=True), PROBLEM)
        return before, after

    def answered(self) -> tuple[str, str, str] | None:
        """Before the question, between it and its answer, behind the answer that is the last turn."""
        return _found(self._or_nothing([_question(), _answer()]), PROBLEM, ANSWER)

    def followed(self) -> tuple[str, str, str] | None:
        """The same, where another question follows: what stands between answer and next question comes last."""
        found = _found(self._or_nothing([_question(), _answer(), _question(_NEXT)]), PROBLEM, ANSWER)
        if found is None or found[2].count(_NEXT) != 1:
            return None
        return found[0], found[1], found[2].split(_NEXT)[0]

    def reasoned(self) -> Reasoning | None:
        """What opens and closes a reasoning, where the template takes one."""
        for key in _REASONING_KEYS:
            rendered = self._or_nothing([_question(), _answer() | {key: _REASONING}])
            found = _found(rendered, PROBLEM, _REASONING)
            if found is not None and found[2].count(ANSWER) == 1:
                return Reasoning(opened=found[1], closing=found[2].split(ANSWER)[0])
        return None

    def trims(self, *, head: str, asked: str) -> tuple[bool, bool]:
        """Whether it takes white space off the left and right end of a question."""
        before, after = _cut(self([_question(_PADDING + PROBLEM + _PADDING)], generation_prompt=True), PROBLEM)
        return _is_trimmed(before, bare=head, kept=head + _PADDING), _is_trimmed(
            after, bare=asked, kept=_PADDING + asked
        )


def find_skeleton(render: Renderer, *, answer_prefix: str | None) -> Skeleton:
    """answer_prefix: as the setting gives it; None: learnt. Raises `ModelError` where the template cannot be split."""
    render.choose_content_form()
    try:
        return _split(render, answer_prefix)
    except Unsplittable as why:
        raise ModelError(
            f"{render.setting}.model: the chat template of the model cannot be split around an answer: {why}; {why.way}"
        ) from None


def _split(render: Renderer, answer_prefix: str | None) -> Skeleton:
    head, asked = render.asked()
    answered, followed = render.answered(), render.followed()
    shown = answered or followed
    if shown is None:
        render([_question(), _answer()], generation_prompt=False)  # its own error says more, where it has one
        raise Unsplittable("an answer does not stand in it exactly once, as it was given")
    if shown[0] != head:
        raise Unsplittable("it writes another text before the question when it is answered")
    reasoning = render.reasoned()
    place = (
        Answering(answer_prefix, "")
        if answer_prefix is not None
        else place_of_answer(asked=asked, answered=shown[1], reasoning=reasoning)
    )
    trims_left, trims_right = render.trims(head=head, asked=asked)
    return Skeleton(
        head=head,
        asked=asked,
        answer_prefix=place.prefix,
        lead=place.lead,
        before_next=followed[2] if followed is not None else "",
        at_the_end=answered[2] if answered is not None else "",
        closes_reasoning=reasoning.closing if reasoning is not None else "",
        trims_left=trims_left,
        trims_right=trims_right,
    )


def _question(text: str = PROBLEM) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _answer() -> dict[str, Any]:
    return {"role": "assistant", "content": ANSWER}


def _in_parts(turn: Message) -> dict[str, Any]:
    return dict(turn) | {"content": [{"type": "text", "text": turn["content"]}]}


def _found(rendered: str, first: str, second: str) -> tuple[str, str, str] | None:
    """The texts around two sentinels; None where they do not stand there once each, in this order."""
    try:
        before, between, after = _cut(rendered, first, second)
    except Unsplittable:
        return None
    return before, between, after


def _cut(rendered: str, *sentinels: str) -> list[str]:
    parts = []
    for sentinel in sentinels:
        if rendered.count(sentinel) != 1:
            raise Unsplittable("a turn's text does not stand in it exactly once, as it was given")
        before, rendered = rendered.split(sentinel)
        parts.append(before)
    return [*parts, rendered]


def _is_trimmed(found: str, *, bare: str, kept: str) -> bool:
    if found not in (bare, kept):
        raise Unsplittable("it changes the white space around a question")
    return found == bare
