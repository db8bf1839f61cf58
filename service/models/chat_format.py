"""Prompt, answer and end of turn as token ids, in a model's own chat format (method.md, "Rendering").

The one renderer of service and trainer: scoring (NLL, judge), writing (GRPO's prompts, builds, evaluation) and training
(targets of SFT and drift) use it alike. The format is found once (`rewright.service.models.chat_template`). Then every
problem and every candidate is put into it as plain text:

    prefix        everything up to where an answer begins, the problem in its place: the generation prompt, and what
                  closes a reasoning part or names the answer's channel
    candidate     stripped of outer white space; encoded behind the text in front of it, so that its first token is the
                  one that generation would write there; the template's own space before an answer goes with it
    end of turn   what follows up to and including the token that ends the turn

What the clock would print is pinned: same text, same ids tomorrow. Decoded, the three are the template's own rendering,
but for reasoning parts (closed here, whatever an earlier turn would show) and for white space that a control token of
the tokenizer swallows.

Not covered: tools, images; system prompts and several turns but in `encode_prompt`.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from rewright.service.models.chat_template import ANSWER, PROBLEM, Message, Renderer, Skeleton, find_skeleton
from rewright.service.models.control_tokens import Control, ControlTokens, Piece
from rewright.service.models.end_of_turn import end_of_turn, none_found, stop_ids
from rewright.service.models.eos import eos_ids as eos_ids_of
from rewright.service.models.errors import ModelError
from rewright.service.models.rendering import Rendering

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SHOWN = 200
"""Characters of the prefix's end that are shown."""


class Target(NamedTuple):
    """What is learnt, or gone through token by token. ids: prompt and response; start: the place of the response's
    first id."""

    ids: list[int]
    start: int


class ChatFormat:
    """One tokenizer's chat format. Threads may share it."""

    def __init__(
        self,
        controls: ControlTokens,
        skeleton: Skeleton,
        render: Renderer,
        *,
        end: Sequence[Piece],
        stop: frozenset[int],
        described: dict[str, Any],
    ) -> None:
        self._controls = controls
        self._skeleton = skeleton
        self._render = render
        self._head = controls.split(skeleton.head)
        self._middle = controls.split(skeleton.asked + skeleton.answer_prefix)
        self.end_of_turn: list[int] = self._encoded_end(end)
        """Ids of the end of turn; empty only where none was asked for and none is found."""
        last = end[-1] if end else None
        self.end_mark: int | None = last.id if isinstance(last, Control) else None
        """The control token that ends a turn, and with it an answer."""
        self.stop_ids = stop
        """Ids that end generation: `end_mark` and the model's own end-of-sequence tokens, but for those that also close
        a reasoning part."""
        shown = controls.decode(self.encode_prefix(PROBLEM)).partition(PROBLEM)[2]
        self._described = described | {
            "prefix_tail": shown[-_SHOWN:],
            "turn_ends_with": controls.decode(self.end_of_turn),
            "stops": sorted(controls.decode([token]) for token in stop),
        }

    @classmethod
    def of(
        cls,
        tokenizer: "PreTrainedTokenizerBase",
        rendering: Rendering,
        *,
        eos_ids: Collection[int] | None = None,
        setting: str = "scorers.nll",
        needs_end: bool = True,
    ) -> Self:
        """eos_ids: the model's end-of-sequence ids; None: the tokenizer's own. setting: the block that the model comes
        from, for error messages. needs_end: answers are scored, trained or written with it (all but a judge's labels).

        Raises `ModelError` where the template fails, cannot be split, or ends an answer with nothing.
        """
        if not tokenizer.is_fast:
            raise ModelError(f"{setting}.model: its tokenizer has no tokenizer.json; convert it to a fast tokenizer")
        render = Renderer(tokenizer, rendering, setting=setting)
        skeleton = find_skeleton(render, answer_prefix=rendering.answer_prefix)
        controls = ControlTokens(tokenizer.backend_tokenizer, written=skeleton.written + (rendering.end_of_turn or ""))
        eos = eos_ids_of(tokenizer) if eos_ids is None else frozenset(eos_ids)
        bos: int | None = tokenizer.bos_token_id
        end = end_of_turn(skeleton, controls, eos_ids=eos, bos_id=bos, given=rendering.end_of_turn, setting=setting)
        if needs_end and not end:
            raise none_found(setting, skeleton)
        template = tokenizer.get_chat_template()
        described = {"sha256": hashlib.sha256(template.encode()).hexdigest()} | rendering.described()
        return cls(
            controls,
            skeleton,
            render,
            end=end,
            stop=stop_ids(skeleton, controls, end=end, eos_ids=eos),
            described=json.loads(json.dumps(described, default=str)),
        )

    def encode_prefix(self, problem: str) -> list[int]:
        """Ids of one user turn holding `problem`, up to where its answer begins: what generation is given."""
        if self._skeleton.trims_left:
            problem = problem.lstrip()
        if self._skeleton.trims_right:
            problem = problem.rstrip()
        return self._controls.encode_pieces([*self._head, problem, *self._middle])

    def encode_candidate(self, text: str) -> list[int]:
        """Ids of an answer as generation would write it behind the prefix, outer white space left out; empty for a
        blank one. They do not depend on what follows."""
        stripped = text.strip()
        if not stripped:
            return []
        return self._controls.encode_behind([PROBLEM, *self._middle], self._skeleton.lead + stripped)

    def encode_prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation that the assistant is to go on with, up to where its answer begins.

        One user turn is encoded as `encode_prefix` does. Anything longer is rendered whole, so that a text which
        spells a control token becomes one there: leave such texts out first (`spells_control_token`).

        Raises `ModelError` where the template refuses the conversation.
        """
        if len(messages) == 1 and messages[0]["role"] == "user":
            return self.encode_prefix(messages[0]["content"])
        rendered = self._render(messages, generation_prompt=True) + self._skeleton.answer_prefix
        return self._controls.encode_pieces(self._controls.split(rendered))

    def encode_target(self, messages: Sequence[Message], response: str) -> Target:
        """A prompt, and behind it the response with its end of turn: the ids that are scored for the same texts."""
        prompt = self.encode_prompt(messages)
        return Target([*prompt, *self.encode_candidate(response), *self.end_of_turn], len(prompt))

    @property
    def longest_token(self) -> int:
        """Characters that one token stands for at most: what is much longer needs no counting."""
        return self._controls.longest

    def token_count(self, text: str) -> int:
        """Tokens of a text by itself, outside any conversation."""
        return len(self._controls.encode(text, before=None, after=None))

    def spells_control_token(self, text: str) -> bool:
        """True where `text` holds the letters of a control token. It is encoded as ordinary text all the same."""
        return self._controls.spelled_in(text)

    def token_text(self, token: int) -> str:
        """What one id reads as; "�" where it is a part of a character."""
        return self._controls.decode([token])

    @property
    def template_sha256(self) -> str:
        return str(self._described["sha256"])

    def describe(self) -> dict[str, Any]:
        """What a score depends on: the template's hash (`sha256`) and its pinned inputs; and what came of it, to be
        read: the decoded end of every prefix (`prefix_tail`), end of turn (`turn_ends_with`) and stop tokens."""
        return dict(self._described)

    def picture(self) -> str:
        """One line for a log: how a prompt ends and what ends an answer."""
        return (
            f"prompts end with {self._described['prefix_tail']!r}, answers with {self._described['turn_ends_with']!r}"
        )

    def _encoded_end(self, end: Sequence[Piece]) -> list[int]:
        # Text in front of the mark is written behind an answer, not behind a control token.
        if end and isinstance(end[0], str):
            after = end[1] if len(end) > 1 else None
            text = self._controls.encode_behind([*self._middle, ANSWER], end[0], after=after)
            return [*text, *self._controls.encode_pieces(end[1:], before=end[0])]
        return self._controls.encode_pieces(end)
