"""A chat template as transformers renders it, and the text that it writes around a question and an answer.

The template is rendered for a conversation of two sentinels and split at them, so that each family's own spacing and
end of turn are kept. Promises: one that cannot be split, or fails, is a `ModelError` that says why.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rewright.service.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, str]
"""A turn: `role` and `content`."""

PROBLEM = "sentinelproblemq"
ANSWER = "sentinelanswerq"
_PADDING = " \n "


@dataclass(frozen=True)
class Skeleton:
    """The template's own text around the problem, around the answer, and whether it trims the problem."""

    head: str
    middle: str
    lead: str
    end: str
    trims_left: bool
    trims_right: bool

    @property
    def written(self) -> str:
        """All that the template wrote itself."""
        return self.head + self.middle + self.lead + self.end


class Renderer:
    """One tokenizer's template with pinned variables.

    date: ISO, what a template that prints today's date is told. args: further variables. setting: the block that the
    model comes from, for error messages. Raises `ModelError` for a date that is none.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, date: str, args: Mapping[str, Any], setting: str
    ) -> None:
        try:
            today = datetime.datetime.fromisoformat(date)
        except ValueError:
            raise ModelError(f"{setting}.template_date: {date!r} is no ISO date; write one like 2025-01-01") from None
        self.setting = setting
        self._tokenizer: Any = tokenizer
        # A template's variable hides the global function of the same name that reads the clock.
        self.variables: dict[str, Any] = {"strftime_now": today.strftime, **args}

    def __call__(self, turns: Sequence[Message], *, generation_prompt: bool) -> str:
        """The conversation as text. Raises `ModelError` where the template fails on it."""
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    list(turns), tokenize=False, add_generation_prompt=generation_prompt, **self.variables
                )
            )
        except Exception as error:
            roles = " and ".join(str(turn["role"]) for turn in turns)
            raise ModelError(
                f"{self.setting}.model: the chat template of the model fails on turns of {roles} ({error}); fix the "
                "template, or give it other variables (template_args)"
            ) from error


def find_skeleton(render: Renderer) -> Skeleton:
    """Raises `ModelError` where the template cannot be split around a question and an answer."""
    try:
        return _split(render)
    except _Unsplittable as why:
        raise ModelError(
            f"{render.setting}.model: the chat template of the model cannot be split around an answer: {why}; use "
            "another model, put a plainer chat_template.jinja into its folder, or give the template other variables "
            "(template_args)"
        ) from None


class _Unsplittable(Exception):
    pass


def _split(render: Renderer) -> Skeleton:
    question, answer = {"role": "user", "content": PROBLEM}, {"role": "assistant", "content": ANSWER}
    head, middle, end = _cut(render([question, answer], generation_prompt=False), PROBLEM, ANSWER)
    asked_head, asked_middle = _cut(render([question], generation_prompt=True), PROBLEM)
    if asked_head != head:
        raise _Unsplittable("it writes another text before the question when it is answered")
    lead = ""
    if middle.startswith(asked_middle):
        between = middle[len(asked_middle) :]
        if not between.strip():
            middle, lead = asked_middle, between
    elif asked_middle.startswith(middle):
        # For instance an empty thinking block that only the generation prompt has: the model answers after it.
        middle = asked_middle
    else:
        raise _Unsplittable("its generation prompt does not stand before the answer when it renders one")
    padded = {"role": "user", "content": _PADDING + PROBLEM + _PADDING}
    padded_head, padded_middle = _cut(render([padded], generation_prompt=True), PROBLEM)
    return Skeleton(
        head=head,
        middle=middle,
        lead=lead,
        end=end,
        trims_left=_is_trimmed(padded_head, bare=head, kept=head + _PADDING),
        trims_right=_is_trimmed(padded_middle, bare=asked_middle, kept=_PADDING + asked_middle),
    )


def _cut(rendered: str, *sentinels: str) -> list[str]:
    parts = []
    for sentinel in sentinels:
        if rendered.count(sentinel) != 1:
            raise _Unsplittable("a turn's text does not stand in it exactly once, as it was given")
        before, rendered = rendered.split(sentinel)
        parts.append(before)
    return [*parts, rendered]


def _is_trimmed(found: str, *, bare: str, kept: str) -> bool:
    if found not in (bare, kept):
        raise _Unsplittable("it changes the white space around a question")
    return found == bare
