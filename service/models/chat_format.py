"""Prompt, answer and end of turn as token ids, in a model's own chat format (method.md, "Rendering").

Used alike for scoring (NLL, judge), for writing (generation prompts) and for training (targets of SFT and drift). The
format is found once (`rewright.service.models.chat_template`). Then every problem and every candidate is put into it as
plain text:

    prefix        everything up to the end of the generation prompt, the problem in its place
    candidate     stripped of outer white space; the template's own space between generation prompt and answer goes
                  with it, since that is what the model has to write ("[/INST] Yes" is read as "▁Yes")
    end of turn   what follows up to and including the first control token

Each of the three is encoded apart. What the clock would print is pinned to `date`: same text, same ids tomorrow.

Not covered: tools, images; system prompts and several turns but in `encode_prompt`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rewright.service.models.chat_template import ANSWER, PROBLEM, Message, Renderer, Skeleton, find_skeleton
from rewright.service.models.control_tokens import Control, ControlTokens, Piece
from rewright.service.models.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Target(NamedTuple):
    """What is learnt, or gone through token by token. ids: prompt and response; start: the place of the response's
    first id."""

    ids: list[int]
    start: int


class ChatFormat:
    """One tokenizer's chat format. Threads may share it."""

    def __init__(
        self, controls: ControlTokens, skeleton: Skeleton, render: Renderer, described: dict[str, Any]
    ) -> None:
        self._controls = controls
        self._skeleton = skeleton
        self._render = render
        self._described = described
        self._head = controls.split(skeleton.head)
        self._middle = controls.split(skeleton.middle)
        end = controls.split(skeleton.end)
        marks = [(place, piece) for place, piece in enumerate(end) if isinstance(piece, Control)]
        # White space after the end of turn belongs to the next turn; without a mark, only words could end it.
        end = end[: marks[0][0] + 1] if marks else [piece for piece in end if isinstance(piece, str) and piece.strip()]
        self._before_answer: Piece = self._middle[-1] if self._middle else PROBLEM
        self._after_answer: Piece | None = end[0] if end else None
        self.end_of_turn: list[int] = controls.encode_pieces(end, before=ANSWER)
        """Ids of the end of turn; empty where the template ends a turn with nothing."""
        self.end_mark: int | None = marks[0][1].id if marks else None
        """The control token that ends a turn, and with it an answer; None where the template writes none."""

    @classmethod
    def of(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        date: str,
        template_args: Mapping[str, Any],
        setting: str = "scorers.nll",
    ) -> Self:
        """date: ISO, what templates that print today's date see. template_args: pinned variables of the template.
        setting: the block that the model comes from, for error messages.

        Raises `ModelError` where the template fails or cannot be split.
        """
        if not tokenizer.is_fast:
            raise ModelError(f"{setting}.model: its tokenizer has no tokenizer.json; convert it to a fast tokenizer")
        render = Renderer(tokenizer, date=date, args=template_args, setting=setting)
        skeleton = find_skeleton(render)
        controls = ControlTokens(tokenizer.backend_tokenizer, written=skeleton.written)
        template = tokenizer.get_chat_template()
        return cls(
            controls,
            skeleton,
            render,
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
        return self._controls.encode_pieces([*self._head, problem, *self._middle], after=ANSWER)

    def encode_candidate(self, text: str) -> list[int]:
        """Ids of an answer as it stands in the assistant's turn, outer white space left out; empty for a blank one."""
        stripped = text.strip()
        if not stripped:
            return []
        return self._controls.encode(
            self._skeleton.lead + stripped, before=self._before_answer, after=self._after_answer
        )

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation that the assistant is to go on with, and the generation prompt.

        One user turn is encoded as `encode_prefix` does. Anything longer is rendered whole, so that a text which
        spells a control token becomes one there: leave such texts out first (`spells_control_token`).

        Raises `ModelError` where the template refuses the conversation.
        """
        if len(messages) == 1 and messages[0]["role"] == "user":
            return self.encode_prefix(messages[0]["content"])
        rendered = self._render(messages, generation_prompt=True)
        return self._controls.encode_pieces(self._controls.split(rendered), after=ANSWER)

    def encode_target(self, messages: Sequence[Message], response: str) -> Target:
        """A prompt, and behind it the response with its end of turn: the ids that are scored for the same texts."""
        prompt = self.encode_prompt(messages)
        return Target([*prompt, *self.encode_candidate(response), *self.end_of_turn], len(prompt))

    def token_count(self, text: str) -> int:
        """Tokens of a text by itself, outside any conversation."""
        return len(self._controls.encode(text, before=None, after=None))

    def spells_control_token(self, text: str) -> bool:
        """True where `text` holds the letters of a control token. It is encoded as ordinary text all the same."""
        return self._controls.spelled_in(text)

    def token_text(self, token: int) -> str:
        """What one id reads as; "�" where it is a part of a character."""
        return self._controls.text_of(token)

    @property
    def variables(self) -> dict[str, Any]:
        """The template's pinned variables, for libraries that render by themselves. Not all of them are JSON."""
        return dict(self._render.variables)

    @property
    def template_sha256(self) -> str:
        return str(self._described["sha256"])

    def describe(self) -> dict[str, Any]:
        """The template's hash (`sha256`), its arguments (`args`) and its date (`date`): what a score depends on."""
        return dict(self._described)
