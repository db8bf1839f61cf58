"""x and ỹ as token ids, in π0's own chat format (method.md, "Rendering").

The format is found once, by rendering a conversation of two sentinels and splitting there, so that each family's own
spacing and end of turn are kept. Then every problem and every candidate is put into that format as plain text:

    prefix        everything up to the end of the generation prompt, the problem in its place
    candidate     stripped of outer white space; the template's own space between generation prompt and answer goes
                  with it, since that is what the model has to write ("[/INST] Yes" is read as "▁Yes")
    end of turn   what follows up to and including the first control token

Each of the three is encoded apart. What the clock would print is pinned to `date`: same text, same ids tomorrow.

Not covered: system prompts of the user's own, tools, images, several turns.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from transformers import PreTrainedTokenizerBase

from rewright.service.errors import SettingsError
from rewright.service.models.control_tokens import Control, ControlTokens, Piece

_PROBLEM = "sentinelproblemq"
_ANSWER = "sentinelanswerq"
_PADDING = " \n "


@dataclass(frozen=True)
class _Skeleton:
    """The template's own text around the problem, around the answer, and whether it trims the problem."""

    head: str
    middle: str
    lead: str
    end: str
    trims_left: bool
    trims_right: bool


class ChatFormat:
    """One tokenizer's chat format. Threads may share it."""

    def __init__(self, controls: ControlTokens, skeleton: _Skeleton, described: dict[str, Any]) -> None:
        self._controls = controls
        self._skeleton = skeleton
        self._described = described
        self._head = controls.split(skeleton.head)
        self._middle = controls.split(skeleton.middle)
        end = controls.split(skeleton.end)
        marks = [place for place, piece in enumerate(end) if isinstance(piece, Control)]
        # White space after the end of turn belongs to the next turn; without a mark, only words could end it.
        end = end[: marks[0] + 1] if marks else [piece for piece in end if isinstance(piece, str) and piece.strip()]
        self._before_answer: Piece = self._middle[-1] if self._middle else _PROBLEM
        self._after_answer: Piece | None = end[0] if end else None
        self.end_of_turn: list[int] = controls.encode_pieces(end, before=_ANSWER)
        """Ids of the end of turn; empty where the template ends a turn with nothing."""

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, *, date: str, template_args: Mapping[str, Any]) -> Self:
        """date: ISO, what templates that print today's date see. template_args: pinned variables of the template.

        Raises `SettingsError` where the template fails or cannot be split.
        """
        if not tokenizer.is_fast:
            raise SettingsError(
                "scorers.nll.model: its tokenizer has no tokenizer.json; convert it to a fast tokenizer"
            )
        skeleton = _find_skeleton(_Renderer(tokenizer, date, template_args))
        written = skeleton.head + skeleton.middle + skeleton.lead + skeleton.end
        controls = ControlTokens(tokenizer.backend_tokenizer, written=written)
        template = tokenizer.get_chat_template()
        return cls(
            controls,
            skeleton,
            {
                "sha256": hashlib.sha256(template.encode()).hexdigest(),
                "args": json.loads(json.dumps(dict(template_args), default=str)),
                "date": date,
            },
        )

    def encode_prefix(self, problem: str) -> list[int]:
        """Ids of one user turn holding `problem`, and the generation prompt."""
        if self._skeleton.trims_left:
            problem = problem.lstrip()
        if self._skeleton.trims_right:
            problem = problem.rstrip()
        return self._controls.encode_pieces([*self._head, problem, *self._middle], after=_ANSWER)

    def encode_candidate(self, text: str) -> list[int]:
        """Ids of an answer as it stands in the assistant's turn, outer white space left out; empty for a blank one."""
        stripped = text.strip()
        if not stripped:
            return []
        return self._controls.encode(
            self._skeleton.lead + stripped, before=self._before_answer, after=self._after_answer
        )

    def spells_control_token(self, text: str) -> bool:
        """True where `text` holds the letters of a control token. It is encoded as ordinary text all the same."""
        return self._controls.spelled_in(text)

    def token_text(self, token: int) -> str:
        """What one id reads as; "�" where it is a part of a character."""
        return self._controls.text_of(token)

    def describe(self) -> dict[str, Any]:
        """The template's hash, its arguments and its date: what a score depends on."""
        return dict(self._described)


class _Renderer:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, date: str, template_args: Mapping[str, Any]) -> None:
        try:
            today = datetime.datetime.fromisoformat(date)
        except ValueError:
            raise SettingsError(
                f"scorers.nll.template_date: {date!r} is no ISO date; write one like 2025-01-01"
            ) from None
        self._tokenizer: Any = tokenizer
        # A template's variable hides the global function of the same name that reads the clock.
        self._args = {"strftime_now": today.strftime, **template_args}

    def __call__(self, problem: str, answer: str | None = None) -> str:
        turns = [{"role": "user", "content": problem}]
        if answer is not None:
            turns.append({"role": "assistant", "content": answer})
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=answer is None, **self._args
                )
            )
        except Exception as error:
            raise SettingsError(
                f"scorers.nll: the chat template of the model fails on one user and one assistant turn ({error}); "
                "fix the template or scorers.nll.template_args"
            ) from error


def _find_skeleton(render: _Renderer) -> _Skeleton:
    head, middle, end = _cut(render(_PROBLEM, _ANSWER), _PROBLEM, _ANSWER)
    asked_head, asked_middle = _cut(render(_PROBLEM), _PROBLEM)
    if asked_head != head:
        raise _unsplittable("it writes another text before the question when it is answered")
    lead = ""
    if middle.startswith(asked_middle):
        between = middle[len(asked_middle) :]
        if not between.strip():
            middle, lead = asked_middle, between
    elif asked_middle.startswith(middle):
        # For instance an empty thinking block that only the generation prompt has: the model answers after it.
        middle = asked_middle
    else:
        raise _unsplittable("its generation prompt does not stand before the answer when it renders one")
    padded_head, padded_middle = _cut(render(_PADDING + _PROBLEM + _PADDING), _PROBLEM)
    return _Skeleton(
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
            raise _unsplittable("a turn's text does not stand in it exactly once, as it was given")
        before, rendered = rendered.split(sentinel)
        parts.append(before)
    return [*parts, rendered]


def _is_trimmed(found: str, *, bare: str, kept: str) -> bool:
    if found not in (bare, kept):
        raise _unsplittable("it changes the white space around a question")
    return found == bare


def _unsplittable(why: str) -> SettingsError:
    return SettingsError(
        f"scorers.nll: the chat template of the model cannot be split around an answer: {why}; use another model, put "
        "a plainer chat_template.jinja into its folder, or change scorers.nll.template_args"
    )
