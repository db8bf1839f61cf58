"""Whether training moves the adapter at all: a learning rate far too small shows in no metric that anybody looks at.

Promises: once, after `STEPS` of them, one loud line where both the adapter's share of the weights and the KL divergence
from π0 are next to nothing.
Not covered: an adapter that moves the wrong way; the rewards show that. Weights that DeepSpeed cut (ZeRO-3), which
show nobody their numbers.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from transformers import TrainerCallback

log = logging.getLogger(__name__)

STEPS = 10
SMALLEST_SHARE = 1e-4
"""‖(α/r)·B·A‖ / ‖W‖ over all adapted matrices. Adam moves an entry of B by about the learning rate a step: ten steps at
1e-6 come to some 3e-5 here, at 2e-5 to 5e-4."""
SMALLEST_KL = 1e-4
"""Nats per token, as TRL logs it."""


class MovementWatch(TrainerCallback):
    def __init__(self, *, learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._kl = 0.0
        self._looked = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **more: Any) -> None:
        self._kl = max(self._kl, float((logs or {}).get("kl", 0.0)))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> None:
        if self._looked or state.global_step < STEPS or model is None:
            return
        self._looked = True
        share = adapter_share(model)
        if not state.is_world_process_zero:
            return  # it was needed for the share, where weights are cut over processes
        if share is not None and share < SMALLEST_SHARE and self._kl < SMALLEST_KL:
            log.warning(
                "after %d steps the adapter is %.1e of the weights that it lies on, and the KL divergence from the "
                "backbone %.1e nats a token: at training.learning_rate %.1e this run changes next to nothing; LoRA of "
                "this kind wants 1e-5 to 1e-4",
                state.global_step,
                share,
                self._kl,
                self._learning_rate,
            )


@torch.no_grad()
def adapter_share(model: Any) -> float | None:
    """‖ΔW‖ / ‖W‖ (Frobenius) over all matrices with an active LoRA; None where there is none.

    ‖B·A‖² is the sum of (BᵀB) ∘ (A·Aᵀ): no product as large as W is made.
    """
    moved = whole = 0.0
    for weight, low, high, scaling in _adapted(model):
        product = (high.float().T @ high.float()) * (low.float() @ low.float().T)
        moved += scaling**2 * _number(product.sum())
        whole += _number(weight.float().square().sum())
    return (moved / whole) ** 0.5 if whole else None


def _number(total: Any) -> float:
    """Of a total over weights that FSDP cut, `float` would take this process's part."""
    return float(total.full_tensor() if hasattr(total, "full_tensor") else total)


def _adapted(model: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]]:
    """For each matrix with an active adapter: itself, A, B and their scaling."""
    adapted: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for module in adapted:
        for name in module.active_adapters:
            if name in module.lora_A:
                yield (
                    module.get_base_layer().weight,
                    module.lora_A[name].weight,
                    module.lora_B[name].weight,
                    float(module.scaling[name]),
                )
