"""Do two ways to compute a policy's log-probabilities agree on a batch, and their gradients?

Measured on log-probabilities and on the gradient, over all trained weights, of a weighted sum of them, some rows raised
and some lowered as advantages would. Dropout is off meanwhile, layers that are checkpointed stay so.

Not covered: weights that are cut over processes (FSDP, ZeRO-3), whose gradients cannot be asked for by themselves;
there log-probabilities alone are compared.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import torch

LogPs = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Agreement:
    """Differences: of log-probabilities in nats, the mean over tokens; of gradients the length of the difference over
    the length.

    The mean, since in half precision the largest difference grows with the number of tokens: on an H200 it is 0.2 to
    0.4 over some thousand, while both ways are equally far from float32. Another attention moves the mean by nats.
    """

    logps: float
    gradients: float
    exact: bool
    """Both ways compute in float32."""

    @property
    def allowed(self) -> tuple[float, float]:
        return (1e-4, 1e-3) if self.exact else (0.1, 0.2)

    @property
    def holds(self) -> bool:
        return self.logps <= self.allowed[0] and self.gradients <= self.allowed[1]

    def __str__(self) -> str:
        logps, gradients = self.allowed
        return (
            f"log-probabilities differ by {self.logps:.1e} on average (allowed {logps:g}), "
            f"gradients by {self.gradients:.1e} of their length (allowed {gradients:g})"
        )

    def worst_of_all(self, gather: Callable[[torch.Tensor], torch.Tensor], device: torch.device) -> Self:
        """The worst over all processes: they have to take the same way. gather: accelerate's."""
        mine = torch.tensor([[self.logps, self.gradients]], device=device)
        logps, gradients = gather(mine).max(dim=0).values.tolist()
        return type(self)(logps, gradients, self.exact)


def measured(policy: Any, one: LogPs, other: LogPs, *, gradients: bool) -> Agreement:
    """one, other: log-probabilities of the same batch by `policy`, shape [rows, longest], 0 at padding; `one` is right.

    gradients: whether to compare them.
    """
    weights = [weight for weight in policy.parameters() if weight.requires_grad] if gradients else []
    with _without_dropout(policy), torch.set_grad_enabled(gradients):
        logps, right = _asked(one, weights)
        mine, found = _asked(other, weights)
    length = sum(float(each.square().sum()) for each in right) ** 0.5
    apart = sum(float((a - b).square().sum()) for a, b in zip(right, found, strict=True)) ** 0.5
    exact = not torch.is_autocast_enabled(logps.device.type) and next(policy.parameters()).dtype == torch.float32
    tokens = max(1, int((logps != 0).sum()))
    return Agreement(float((logps - mine).abs().sum()) / tokens, apart / length if length else apart, exact)


def _asked(way: LogPs, weights: list[torch.nn.Parameter]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    logps_BR = way()
    if not weights:
        return logps_BR.detach(), []
    rows = torch.linspace(-1, 1, len(logps_BR), device=logps_BR.device) if len(logps_BR) > 1 else 1.0
    probe = (logps_BR.sum(dim=1) * rows).sum() / logps_BR.numel()
    found = torch.autograd.grad(probe, weights, allow_unused=True)
    zeros = (torch.zeros_like(weight) if each is None else each for each, weight in zip(found, weights, strict=True))
    return logps_BR.detach(), [each.float() for each in zeros]


@contextmanager
def _without_dropout(model: Any) -> Iterator[None]:
    """Not the whole model: outside of training no layer is checkpointed, and memory would not do."""
    dropouts = [part for part in model.modules() if isinstance(part, torch.nn.Dropout) and part.training]
    for part in dropouts:
        part.eval()
    try:
        yield
    finally:
        for part in dropouts:
            part.train()
