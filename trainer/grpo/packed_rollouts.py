"""Rollouts of TRL's GRPO trainer with each prompt read once per group (`rewright.trainer.generation.packed_way`).

Promises: the sampling that TRL was configured for; where that asks for more than temperature and top_p, where vLLM or
transformers' continuous batching generates, or weights are cut over processes, TRL's own code does it, as it does for a
model that cannot be written with so, which is said once. `greedy` writes what the policy finds likeliest, outside of
any step.
"""

from collections.abc import Collection, Sequence
from typing import Any

import torch

from rewright.trainer.generation.packed_way import PackedWay
from rewright.trainer.models.policy import without_adapter


class PackedRollouts:
    """In front of TRL's `GRPOTrainer` among the bases of a trainer."""

    _way: PackedWay | None = None

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *more: Any, **named: Any) -> Any:
        me: Any = self
        if images is None and _is_plain(me):
            written = self._packed_way().write(
                prompt_ids,
                [me.max_completion_length] * len(prompt_ids),
                me.eos_token_ids,
                temperature=me.temperature,
                top_p=me.top_p,
            )
            if written is not None:
                return [each.ids for each in written], None
        parent: Any = super()
        return parent._generate_single_turn(prompt_ids, images, *more, **named)

    def greedy(self, prompt_ids: Sequence[list[int]]) -> list[list[int]]:
        """New ids behind each prompt, up to the longest completion, with the id that ended it.

        Prompts that do not fit into the device's memory together are halved until they do. Raises
        `torch.OutOfMemoryError` where one does not.
        """
        try:
            return self._likeliest(prompt_ids)
        except torch.OutOfMemoryError:
            if len(prompt_ids) == 1:
                raise
        torch.cuda.empty_cache()
        middle = len(prompt_ids) // 2
        return self.greedy(prompt_ids[:middle]) + self.greedy(prompt_ids[middle:])

    def _likeliest(self, prompt_ids: Sequence[list[int]]) -> list[list[int]]:
        me: Any = self
        limits = [me.max_completion_length] * len(prompt_ids)
        written = self._packed_way().write(prompt_ids, limits, me.eos_token_ids, temperature=0.0)
        if written is not None:
            return [each.ids for each in written]
        model, size = me.accelerator.unwrap_model(me.model), me.args.per_device_train_batch_size
        found: list[list[int]] = []
        for at in range(0, len(prompt_ids), size):
            found += _generated(model, prompt_ids[at : at + size], me.max_completion_length, me.eos_token_ids)
        return found

    def _packed_way(self) -> PackedWay:
        me: Any = self
        if self._way is None:
            self._way = PackedWay(without_adapter(me.accelerator.unwrap_model(me.model)))
        return self._way


@torch.no_grad()
def _generated(model: Any, prompts: Sequence[list[int]], limit: int, stop: Collection[int]) -> list[list[int]]:
    """Of prompts padded on the left, as TRL's own rollouts are."""
    longest, pad = max(map(len, prompts)), min(stop)
    ids_BT = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts], device=model.device)
    mask_BT = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=model.device)
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        out_BT = model.generate(
            input_ids=ids_BT, attention_mask=mask_BT, do_sample=False, temperature=None, top_k=None, top_p=None,
            max_new_tokens=limit, eos_token_id=sorted(stop), pad_token_id=pad, use_cache=True,
        )  # fmt: skip
    finally:
        for part in training:
            part.training = True
    return [_through_stop(row, stop) for row in out_BT[:, longest:].tolist()]


def _through_stop(ids: list[int], stop: Collection[int]) -> list[int]:
    end = next((at for at, token in enumerate(ids) if token in stop), len(ids) - 1)
    return ids[: end + 1]


def _is_plain(trainer: Any) -> bool:
    cut = trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled
    other = trainer.use_vllm or trainer.use_transformers_continuous_batching
    asked = trainer.args
    further = asked.generation_kwargs or asked.top_k or asked.min_p is not None or asked.repetition_penalty != 1.0
    return not (cut or other or further)
