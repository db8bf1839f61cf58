"""No optimizer step on a gradient that is not finite: one such step makes every weight NaN, and nothing shows it.

transformers' trainer goes on with NaN weights to the end, prints a loss of 0 for them and saves them. Here the gradient
is looked at before each step, after accumulation and clipping.

Promises: a step whose gradient holds NaN or an infinity changes no weight, and one line says which step; after
`IN_A_ROW` of them the run ends with `Diverged`, and its last checkpoint is one from before. All processes agree.
Not covered: DeepSpeed, which keeps gradients to itself and has a check of its own in half precision alone.
"""

import logging
from typing import Any

import torch
from transformers import TrainerCallback

from rewright.trainer.errors import Diverged

log = logging.getLogger(__name__)

IN_A_ROW = 3


class FiniteSteps(TrainerCallback):
    def __init__(self) -> None:
        self._in_a_row = 0

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: Any = None, optimizer: Any = None, **more: Any
    ) -> None:
        if _all_finite(model):
            self._in_a_row = 0
            return
        self._in_a_row += 1
        # Without gradients an optimizer's step leaves weights and moments as they are.
        optimizer.zero_grad(set_to_none=True)
        step = state.global_step + 1
        if self._in_a_row == IN_A_ROW:
            raise Diverged(
                f"step {step}: the gradient is not finite, {IN_A_ROW} times in a row now; no weight was changed. "
                "Lower training.learning_rate, set backbone.precision to float32, or look at the data"
            )
        if state.is_world_process_zero:
            log.warning("step %d is left out: its gradient is not finite", step)


def _all_finite(model: Any) -> bool:
    gradients = [_local(weight.grad) for weight in model.parameters() if weight.grad is not None]
    if not gradients:
        return True
    # The largest absolute value is NaN where one is, and cannot overflow, as a sum of squares can.
    largest = torch.stack([norm.float() for norm in torch._foreach_norm(gradients, ord=float("inf"))]).max()
    broken = ~torch.isfinite(largest)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        counted = broken.int()
        torch.distributed.all_reduce(counted)
        broken = counted > 0
    return not bool(broken)


def _local(gradient: Any) -> torch.Tensor:
    """What this process holds of a gradient that is cut over several."""
    part: torch.Tensor = gradient.to_local() if hasattr(gradient, "to_local") else gradient
    return part
