"""How far a tuned model moved from π0 on general questions: a measure of forgetting that small models can show too.

For each general question, π0's own answer (kept by the base run) is gone through token by token, and both models say
what they would write next. Reported, per token:

    kl          mean over tokens of KL(π0 ‖ tuned), the whole vocabulary, in nats
    nll_drift   mean over tokens of log π0(token) − log tuned(token), in nats: what π0's own words have become dearer

Promises: tokens of all answers weigh alike; 95 % intervals by bootstrap over questions, with a fixed seed; at most
`max_tokens` of an answer are looked at, which the result says. 0 for a model that did not move.

Not covered: contexts that π0 would never write itself.
"""

import contextlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewright.service.models.chat_format import Target
from rewright.service.models.rendering import Rendering
from rewright.trainer.errors import BackboneError
from rewright.trainer.models.policy import chat_format, device_of, load_model, load_tokenizer, locate
from rewright.trainer.recipes.blocks import Backbone

RESAMPLES = 1000
_ROWS = 64
"""Positions whose distributions are held at once."""


class Moved(NamedTuple):
    """Sums over the tokens of one answer."""

    kl: float
    nll: float
    tokens: int


def measure_drift(
    pairs: Sequence[tuple[str, str]],
    *,
    base: Backbone,
    tuned: Backbone,
    adapter: Path | None,
    rendering: Rendering,
    max_tokens: int,
) -> dict[str, Any]:
    """pairs: prompt and π0's answer; rendering: as both were asked.

    Raises `BackboneError` where the two models do not share a vocabulary."""
    located = locate(base)
    chat = chat_format(located, load_tokenizer(located), rendering)
    with _Models(base, tuned, adapter) as models:
        moved = []
        for prompt, answer in pairs:
            target = chat.encode_target([{"role": "user", "content": prompt}], answer)
            moved.append(models.moved(Target(target.ids[: target.start + max_tokens], target.start)))
    tokens = sum(m.tokens for m in moved)
    return {
        "prompts": len(moved),
        "tokens": tokens,
        "max_tokens": max_tokens,
        "kl": sum(m.kl for m in moved) / tokens,
        "kl_interval": _interval([(m.kl, m.tokens) for m in moved]),
        "nll_drift": sum(m.nll for m in moved) / tokens,
        "nll_drift_interval": _interval([(m.nll, m.tokens) for m in moved]),
    }


class _Models:
    """π0 and the tuned model; one set of weights where the tuned one is π0 with an adapter."""

    def __init__(self, base: Backbone, tuned: Backbone, adapter: Path | None) -> None:

        self._device = device_of(tuned)
        shared = adapter is not None and base == tuned
        self._tuned: Any = load_model(locate(tuned), tuned)
        self._base: Any = None if shared else load_model(locate(base), base)
        if adapter is not None:
            from peft import PeftModel

            self._tuned = PeftModel.from_pretrained(self._tuned, str(adapter))
        for model in (self._tuned, self._base):
            if model is not None:
                model.eval().to(self._device)
        if self._base is not None and self._base.config.vocab_size != self._tuned.config.vocab_size:
            raise BackboneError(
                "drift needs two models of one vocabulary; evaluate against a base run of the same model"
            )

    def __enter__(self) -> "_Models":
        return self

    def __exit__(self, *_: object) -> None:
        del self._tuned, self._base

    def moved(self, target: Target) -> Moved:
        import torch

        ids_1T = torch.tensor([target.ids], device=self._device)
        said = len(target.ids) - target.start
        with torch.inference_mode():
            tuned_TV = self._tuned(input_ids=ids_1T, logits_to_keep=said + 1).logits[0, :-1]
            base_TV = self._base_logits(ids_1T, said)
            next_T = ids_1T[0, target.start :]
            kl = nll = 0.0
            for start in range(0, said, _ROWS):
                p = torch.log_softmax(base_TV[start : start + _ROWS].float(), -1)
                q = torch.log_softmax(tuned_TV[start : start + _ROWS].float(), -1)
                kl += float((p.exp() * (p - q)).sum(dtype=torch.float64))
                token_T1 = next_T[start : start + _ROWS, None]
                nll += float((p.gather(1, token_T1) - q.gather(1, token_T1)).sum(dtype=torch.float64))
        return Moved(kl, nll, said)

    def _base_logits(self, ids_1T: Any, said: int) -> Any:
        plain = contextlib.nullcontext() if self._base is not None else self._tuned.disable_adapter()
        model = self._base if self._base is not None else self._tuned
        with plain:
            return model(input_ids=ids_1T, logits_to_keep=said + 1).logits[0, :-1]


def _interval(sums: Sequence[tuple[float, int]]) -> list[float]:
    dice = random.Random(17)
    means = []
    for _ in range(RESAMPLES):
        drawn = dice.choices(sums, k=len(sums))
        means.append(sum(value for value, _ in drawn) / sum(tokens for _, tokens in drawn))
    means.sort()
    return [means[round(0.025 * (RESAMPLES - 1))], means[round(0.975 * (RESAMPLES - 1))]]
