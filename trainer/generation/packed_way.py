"""Whether a model may be written with by `PackedDecoder`: tried and measured at the first batch, and said once.

Promises: the first texts are only handed out once the model's own ordinary forward pass gave their ids the same
log-probabilities, to rounding; where a model's code cannot be run packed, or the numbers differ, one line says why, and
from then on the caller writes in its own, ordinary way.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from rewright.service.models.forward.choose import CANNOT
from rewright.service.models.forward.packing import Ids
from rewright.trainer.generation.packed_decoder import PackedDecoder, Written

log = logging.getLogger(__name__)

_ALLOWED = {True: 1e-4, False: 0.1}
"""Nats an id, on average; whether the model computes in float32. Another attention moves it by nats."""


class PackedWay:
    """model: a `PreTrainedModel` on its device, perhaps with LoRA layers inside."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._decoder: PackedDecoder | None = None
        self._refused = False

    def write(
        self,
        prompts: Sequence[Ids],
        limits: Sequence[int],
        stop: Collection[int],
        *,
        temperature: float,
        top_p: float = 1.0,
    ) -> list[Written] | None:
        """As `PackedDecoder.write`; None where the caller is to write in its own way."""
        if self._refused:
            return None
        try:
            if self._decoder is not None:
                return self._decoder.write(prompts, limits, stop, temperature=temperature, top_p=top_p)
            decoder = PackedDecoder(self._model)
            written = decoder.write(prompts, limits, stop, temperature=temperature, top_p=top_p)
        except CANNOT as error:
            self._refuse(f"this model cannot be packed: {error}")
            return None
        if any(each.ids for each in written):
            apart = self._apart(prompts, written, temperature)
            allowed = _ALLOWED[self._model.dtype == torch.float32]
            if not apart <= allowed:
                self._refuse(f"log-probabilities differ by {apart:.1e} on average (allowed {allowed:g})")
                return None
            log.info("each prompt is read once for all of its texts; against the model itself %.1e nats an id", apart)
            self._decoder = decoder
        return written

    def _refuse(self, reason: str) -> None:
        self._refused = True
        self._decoder = None
        log.warning("texts are written in transformers' own, slower way: %s", reason)

    @torch.no_grad()
    def _apart(self, prompts: Sequence[Ids], written: Sequence[Written], temperature: float) -> float:
        """The mean difference over the ids of the longest text, where windows would show."""
        prompt, longest = max(zip(prompts, written, strict=True), key=lambda each: len(each[0]) + len(each[1].ids))
        ids_1T = torch.tensor([[*prompt, *longest.ids]], device=self._model.device)
        with _evaluating(self._model):
            logits_1TV = self._model(input_ids=ids_1T, use_cache=False).logits
        logps_RV = (logits_1TV[0, len(prompt) - 1 : -1].float() / (temperature or 1.0)).log_softmax(dim=-1)
        right_R = logps_RV.gather(1, ids_1T[0, len(prompt) :, None])[:, 0]
        return float((right_R - torch.tensor(longest.logps, device=right_R.device)).abs().mean())


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout; every part is as before behind it."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
