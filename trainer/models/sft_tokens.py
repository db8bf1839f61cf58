"""A prompt and its response as token ids, with the place where the response begins.

The response is encoded apart from the prompt and joined to it, as the service scores it: the template's own space in
front of an answer goes with it, outer white space of the text does not, and the control token that ends the turn is its
last token. Loss and divergence are taken on those ids alone.

Not covered: several turns of the assistant, text that spells a control token (the caller leaves it out).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rewright.trainer.models.policy import ChatFormat

_QUESTION, _ANSWER = "sentinelproblemq", "sentinelanswerq"


class Target(NamedTuple):
    """ids: prompt and response; start: the place of the response's first id."""

    ids: list[int]
    start: int


class TargetFormat:
    """The chat format of one tokenizer, with its template's pinned variables."""

    def __init__(self, tokenizer: Any, chat: ChatFormat) -> None:
        self._tokenizer = tokenizer
        self._chat = chat
        turns = [{"role": "user", "content": _QUESTION}, {"role": "assistant", "content": _ANSWER}]
        before = self._render(turns[:1], add_generation_prompt=True)
        whole, _, _ = self._render(turns).rpartition(_ANSWER)
        # Where a template writes something else in front of an answer than it asks with, what it asks with stands.
        self._lead = whole[len(before) :] if whole.startswith(before) else ""
        end = chat.end_of_turn()
        self._end = [end] if end is not None else []
        # A tokenizer that marks the beginning of a text must not take the response for one: a control token before it
        # says that it is in the middle.
        added = tokenizer.added_tokens_decoder.values()
        self._anchor = next((t.content for t in added if t.special and not t.rstrip), "")

    def encode(self, prompt: Sequence[Mapping[str, str]], response: str) -> Target:
        """The response with its end of turn, behind the prompt."""
        before = self._chat.prompt_ids(prompt)
        text = self._anchor + self._lead + response.strip()
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return Target([*before, *ids[bool(self._anchor) :], *self._end], len(before))

    def _render(self, turns: Sequence[Mapping[str, str]], **options: Any) -> str:
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, **options, **self._chat.variables))
