"""Rollouts that are asked and ended as the service scores them: prompts as ids of our renderer, its stop ids.

TRL renders prompts by itself and ends an answer at the tokenizer's and the generation config's end of sequence alone: a
template whose prompt ends before the answer's channel begins, or whose turn ends with another token, would be written
otherwise than it is scored. A problem that a template refuses to render is none here, since it is put into the format
as text.
"""

from collections.abc import Sequence
from typing import Any

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.chat_template import Message


class RenderedPrompts:
    """In front of TRL's `GRPOTrainer` among the bases of a trainer. args: its configuration; model: loaded."""

    def __init__(self, *, chat: ChatFormat, model: Any, args: Any, **named: Any) -> None:
        self._chat = chat
        # Where TRL reads what ends an answer, when it is generated and when it is cut.
        model.generation_config.eos_token_id = sorted(chat.stop_ids)
        if args.use_vllm:
            args.generation_kwargs = {**(args.generation_kwargs or {}), "stop_token_ids": sorted(chat.stop_ids)}
        parent: Any = super()
        parent.__init__(model=model, args=args, **named)
        self.eos_token_ids = sorted(chat.stop_ids)

    def _tokenize_prompts(self, prompts: Sequence[Sequence[Message]]) -> tuple[list[list[int]], None, dict[str, Any]]:
        """Ids of each conversation; no images, no further fields."""
        return [self._chat.encode_prompt(prompt) for prompt in prompts], None, {}
