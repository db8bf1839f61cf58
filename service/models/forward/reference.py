"""What a model itself says of a few texts: one at a time, through the attention that its own code spells out.

Promises: log-probabilities in float32; of a model in half precision those of float32 arithmetic on the same weights
(`exact`), and those of its own arithmetic, which differ from them by its rounding (`rounding`). No second copy of the
weights is held: each is widened for the operation that reads it.

Not covered: models whose every run differs.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map
from transformers import PreTrainedModel

from rewright.service.models.forward.packing import Ids, Tree
from rewright.service.models.forward.target_logprobs import pick
from rewright.service.models.memory_split import is_out_of_memory
from rewright.service.models.same_weights import same_weights

_DTYPE_OF = torch.Tensor.dtype.__get__  # type: ignore[attr-defined]
_HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Reference:
    """One tensor a candidate, trees in order, float32 on the CPU, shape [n]; with `next_ids` of these, right behind it.

    rounding: the mean difference per number that the model's own precision makes; 0 in float32.
    """

    exact: Sequence[torch.Tensor]
    rounding: float


def reference(model: PreTrainedModel, trees: Sequence[Tree], *, next_ids: Ids = ()) -> Reference:
    """next_ids: as in `rewright.service.models.forward.packed`."""
    eager = same_weights(model, attention="eager")
    own = _plainly(eager, trees, next_ids, nullcontext())
    if model.dtype not in _HALF:
        return Reference(own, 0.0)
    try:
        exact = _plainly(eager, trees, next_ids, _Widened())
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        # No room for one wide matrix: the model's own rounding is not known then, and what is usual stands for it.
        return Reference(own, _USUAL[model.dtype])
    return Reference(exact, mean_difference(own, exact))


_USUAL = {torch.bfloat16: 0.03, torch.float16: 0.004}


def mean_difference(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> float:
    """Per number; infinite where something is not finite."""
    differs = (torch.cat(list(found)) - torch.cat(list(wanted))).abs().mean()
    return float(differs) if differs.isfinite() else float("inf")


@torch.inference_mode()
def _plainly(
    model: Any, trees: Sequence[Tree], next_ids: Ids, precision: AbstractContextManager[object]
) -> list[torch.Tensor]:
    found = []
    for prefix, candidates in trees:
        for ids in candidates:
            row_1T = torch.tensor([[*prefix, *ids]], device=model.device)
            with precision:
                logits_TV = model(input_ids=row_1T, use_cache=False).logits[0]
                if next_ids:
                    found.append(logits_TV[-1].float().log_softmax(dim=-1)[list(next_ids)].cpu())
                else:
                    found.append(pick(logits_TV[len(prefix) - 1 : -1], row_1T[0, len(prefix) :]).cpu())
    return found


class _Widened(TorchFunctionMode):
    """Every operation on half precision is one on float32, and that is what tensors say of themselves."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "__get__":
            return _wide(func(*args)) if func is _DTYPE_OF else func(*args)
        return func(*tree_map(_wide, args), **tree_map(_wide, kwargs or {}))


def _wide(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype in _HALF else value
    return torch.float32 if isinstance(value, torch.dtype) and value in _HALF else value
