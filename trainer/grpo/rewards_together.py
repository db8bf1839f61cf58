"""Several processes and one service: where one process gets no rewards, all of them end the step, at the same place.

Else that one would write its checkpoint while the others wait for its rewards: neither gets what it waits for, the run
ends in an error of the network layer, and all since the last checkpoint is lost.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import torch

from rewright.clients.wire import RewrightError

Reward = Callable[..., Awaitable[list[float | None]]]


def together(reward: Any, device: torch.device) -> Reward:
    """`reward` (a coroutine function with a name, as TRL takes it), asked by every process at the same time.

    Raises what `reward` raises of `RewrightError`, or that another process had it.
    """

    async def asked(**given: Any) -> list[float | None]:
        trouble: RewrightError | None = None
        totals: list[float | None] = []
        try:
            totals = await reward(**given)
        except RewrightError as error:
            trouble = error
        if _anybody(trouble is not None, device):
            raise trouble or RewrightError("another process of this run had none; its own words say why")
        return totals

    asked.__name__ = reward.__name__
    return asked


def _anybody(mine: bool, device: torch.device) -> bool:
    if not torch.distributed.is_initialized():
        return mine
    told = torch.tensor([int(mine)], device=device)
    torch.distributed.all_reduce(told, op=torch.distributed.ReduceOp.MAX)
    return bool(told.item())
