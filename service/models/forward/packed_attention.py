"""Attention for packed rows: each span of a pack sees the keys of its own text and nothing else.

Registered with transformers under a name, so that a model's own code computes everything but this. Which pack is
running is told beside the model's arguments (`running`), since not every family hands unknown arguments through. In
training it has to come with them (`KEYWORD`): a checkpointed layer runs again on the way back, then in a thread of its
own and long after the forward pass; and the same model generates and is compared in between (`beside`).

Promises: causal inside a span; sliding windows and soft capping as the model's code asks for them; an attention that
asks for anything else that changes scores (sinks, biases) raises `NotImplementedError`, so that the caller can run the
model another way. On CUDA one FlashAttention call per layer over all spans; elsewhere, and where that kernel does not
apply, blocks of queries as matrix products (`rewright.service.models.forward.packed_blocks`). Both have gradients.

Not covered: dropout, attention weights as output.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from rewright.service.models.forward.packed_blocks import Shape, Spans, taken
from rewright.service.models.forward.packing import Pack

NAME = "rewright_packed"
KEYWORD = "packed_layers"
"""What a model that is named by `beside` has to be called with, so that its attentions are packed ones."""

_FLASH_HEAD_SIZE = 256
_CHANGES_SCORES = ("s_aux", "sinks", "position_bias", "alibi", "head_mask")

_flash: Any = varlen_attn
_flash_takes_named = frozenset(inspect.signature(varlen_attn).parameters)


class Layers:
    """Keys and values that one pack leaves to the next, a pair of [heads, kept, size] a layer; and what was asked."""

    def __init__(self, pack: Pack, before: "Layers | None", device: torch.device) -> None:
        self.pack = pack
        self._before = before
        self._kept: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        self._spans = Spans(pack.spans)
        self._flash: _FlashPlan | None = _FlashPlan(pack, device) if device.type == "cuda" else None
        self.windows = 0
        """Layers that asked for a sliding window."""
        self.calls = 0

    def release_before(self) -> None:
        """The keys kept before this pack are no longer needed."""
        self._before = None

    def attend(
        self,
        layer: Any,
        query_HTD: torch.Tensor,
        key_HTD: torch.Tensor,
        value_HTD: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        cap: float | None,
    ) -> torch.Tensor:
        """Shape [T, H, D]."""
        self.calls += 1
        self.windows += window is not None
        if self._before is not None and self.pack.kept:
            key_before, value_before = self._before._kept.pop(layer)
            key_HTD = torch.cat([key_before, key_HTD], dim=1)
            value_HTD = torch.cat([value_before, value_HTD], dim=1)
        if self.pack.keep:
            self._kept[layer] = taken(key_HTD, self.pack.keep), taken(value_HTD, self.pack.keep)
        if self._flash is not None and cap is None and _flash_takes(query_HTD, window):
            return self._flash.attend(query_HTD, key_HTD, value_HTD, scale=scale, window=window)
        return self._spans.attend(query_HTD, key_HTD, value_HTD, Shape(scale, window, cap))


class _FlashPlan:
    """The spans of a pack as FlashAttention wants them; made once a pack, so that no layer waits for the host."""

    def __init__(self, pack: Pack, device: torch.device) -> None:
        key_lengths = [sum(end - start for start, end in span.keys) for span in pack.spans]
        query_lengths = [span.rows.end - span.rows.start for span in pack.spans]
        gathered = torch.cat([torch.arange(*stretch) for span in pack.spans for stretch in span.keys])
        self._gather_K = to_device(gathered, device)
        self._queries, self._keys = (_running_sum(lengths, device) for lengths in (query_lengths, key_lengths))
        self._most_queries, self._most_keys = max(query_lengths), max(key_lengths)

    def attend(
        self,
        query_HTD: torch.Tensor,
        key_HTD: torch.Tensor,
        value_HTD: torch.Tensor,
        *,
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        shares = key_HTD.shape[0] != query_HTD.shape[0]
        out_THD: torch.Tensor = _flash(
            query_HTD.transpose(0, 1),
            key_HTD.index_select(1, self._gather_K).transpose(0, 1),
            value_HTD.index_select(1, self._gather_K).transpose(0, 1),
            self._queries,
            self._keys,
            self._most_queries,
            self._most_keys,
            scale=scale,
            window_size=(-1 if window is None else window - 1, 0),
            # Before torch 2.12 heads may share keys without saying so.
            **({"enable_gqa": shares} if "enable_gqa" in _flash_takes_named else {}),
        )
        return out_THD


class Attends(Protocol):
    """What attentions of this name are handed to while it is `running`."""

    def attend(
        self,
        layer: Any,
        query_HTD: torch.Tensor,
        key_HTD: torch.Tensor,
        value_HTD: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        cap: float | None,
    ) -> torch.Tensor:
        """Shape [T, H, D]. layer: its number; window: of how many ids, itself among them; cap: of scores, softly."""
        ...


_running: ContextVar[Attends | None] = ContextVar("running", default=None)


@contextmanager
def running(layers: Attends) -> Iterator[None]:
    """Every attention of this name inside belongs to that pack."""
    token = _running.set(layers)
    try:
        yield
    finally:
        _running.reset(token)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _attention(  # noqa: PLR0917 - transformers calls it like this
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """In the form that transformers calls: [1, H, T, D] in, [1, T, H, D] out."""
    layers: Attends | None = more.get(KEYWORD) or _running.get()
    masked = attention_mask is not None and attention_mask.numel() > 0
    changed = more.get("dropout") or any(more.get(name) is not None for name in _CHANGES_SCORES)
    if layers is None or masked or changed:
        raise NotImplementedError("attention that packed rows do not cover")
    out_THD = layers.attend(
        getattr(module, "layer_idx", module),
        query[0],
        key[0],
        value[0],
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        window=sliding_window,
        cap=softcap,
    )
    return out_THD[None], None


AttentionInterface.register(NAME, _attention)


def beside(implementation: str) -> str:
    """The name of an attention that is packed in calls with `KEYWORD`, and `implementation` in all others.

    Calls with it also take `no_mask()` for a mask: transformers would build one of rows times rows. Raises `ValueError`
    where `implementation` is not one that transformers knows by its name alone.
    """
    ordinary = ALL_ATTENTION_FUNCTIONS.get(implementation)
    mask = ALL_MASK_ATTENTION_FUNCTIONS.get(implementation)
    if ordinary is None or mask is None:
        raise ValueError(f"the attention {implementation!r} cannot stand beside a packed one")

    def attention(*tensors: Any, **more: Any) -> Any:
        if more.get(KEYWORD) is not None:
            return _attention(*tensors, **more)
        more.pop(KEYWORD, None)
        return ordinary(*tensors, **more)

    name = f"{NAME}_or_{implementation}"
    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, mask)
    return name


def no_mask(device: torch.device) -> torch.Tensor:
    """A mask of four dimensions, which transformers hands on as it is, and of no elements."""
    return torch.empty(1, 1, 0, 0, device=device)


def to_device(small: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy that does not wait for what the device still has to do."""
    return small.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else small


def _flash_takes(query_HTD: torch.Tensor, window: int | None) -> bool:
    half = query_HTD.dtype in (torch.bfloat16, torch.float16)
    return half and query_HTD.shape[2] <= _FLASH_HEAD_SIZE


def _running_sum(lengths: list[int], device: torch.device) -> torch.Tensor:
    sums = torch.cumsum(torch.tensor([0, *lengths]), 0, dtype=torch.int32)
    return to_device(sums, device)
