"""The NLL scorer run once, and a second way to the same number that shares no code with it."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import torch

from rewright.service.models.backbone import Backbone
from rewright.service.models.rendering import Rendering
from rewright.service.schema import Group, NllGroup
from rewright.service.scorers.nll.scorer import BackboneNll

SETTINGS: dict[str, Any] = {
    "score_end_of_turn": True,
    "rendering": Rendering(),
    "max_tokens": None,
    "batch_tokens": 4096,
    "queue_tokens": 100_000,
}


def scores(backbone: Backbone, groups: Sequence[Group], *, tokens: bool = False, **changes: Any) -> Any:
    (found,) = scores_of_calls(backbone, [groups], tokens=tokens, **changes)
    return found


def scores_of_calls(
    backbone: Backbone, calls: Sequence[Sequence[Group]], *, tokens: bool = False, **changes: Any
) -> list[Any]:
    """Of one scorer that is asked several times, one call after the other."""

    async def run() -> list[Sequence[NllGroup]]:
        scorer = BackboneNll(load=lambda: backbone, **(SETTINGS | changes))
        await scorer.open()
        try:
            return [await scorer.score(groups, tokens=tokens) for groups in calls]
        finally:
            await scorer.close()

    return asyncio.run(run())


def one_at_a_time(backbone: Backbone, problem: str, candidate: str) -> float:
    """eq. 6 as it is written: the whole conversation, all logits, a full log-softmax."""
    tokenizer: Any = backbone.tokenizer
    turns = [{"role": "user", "content": problem}]
    fixed = {"strftime_now": lambda _: "01 Jan 2025", "enable_thinking": False, "tokenize": False}
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, **fixed)
    prefix = tokenizer(asked, add_special_tokens=False)["input_ids"]
    answer = tokenizer(candidate.strip(), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    (end,) = tokenizer.convert_tokens_to_ids(["<|turn|>" if "<|turn|>" in tokenizer.get_vocab() else "<|im_end|>"])
    ids = torch.tensor([[*prefix, *answer, end]])
    with torch.inference_mode():
        logprobs_TV = backbone.model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    at = range(len(prefix), ids.shape[1])
    return -math.fsum(float(logprobs_TV[t - 1, ids[0, t]]) for t in at) / len(at)
