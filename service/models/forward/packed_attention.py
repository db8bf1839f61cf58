"""Attention for packed rows: each span of a pack sees the keys of its own text and nothing else.

Registered with transformers under one name, so that a model's own code computes everything but this. Which pack is
running is told beside the model's arguments (`running`), since not every family hands unknown arguments through.

Promises: causal inside a span; sliding windows and soft capping as the model's code asks for them; an attention that
asks for anything else that changes scores (sinks, biases) raises `NotImplementedError`, so that the caller can run the
model another way. On CUDA one FlashAttention call per layer over all spans; elsewhere, and where that kernel does not
apply, blocks of queries as matrix products, whose scores never exist for more than a block.

Not covered: training, dropout, attention weights as output.
"""

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

from rewright.service.models.forward.packing import Pack, Span

NAME = "rewright_packed"

_BLOCK_ROWS = 144
"""Queries of one block: few, so that little is computed above the diagonal; enough to keep matrix products busy."""
_BLOCK_SCORES = 16 * 2**20
"""Attention scores that exist at once, all heads together."""
_MASKED_WHOLE = 1024
"""Keys up to which a mask has whole rows; it would cost memory for more, and there its share of the time is small."""
_FLASH_HEAD_SIZE = 256
_CHANGES_SCORES = ("s_aux", "sinks", "position_bias", "alibi", "head_mask")

_flash: Any = varlen_attn
_flash_takes_named = frozenset(inspect.signature(varlen_attn).parameters)


class Layers:
    """Keys and values that one pack leaves to the next, a pair of [heads, kept, size] a layer; and what was asked."""

    def __init__(self, pack: Pack, before: "Layers | None", device: torch.device) -> None:
        self._pack = pack
        self._before = before
        self._kept: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        self._masks: dict[tuple[int, int, int | None], torch.Tensor] = {}
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
        if self._before is not None and self._pack.kept:
            key_before, value_before = self._before._kept.pop(layer)
            key_HTD = torch.cat([key_before, key_HTD], dim=1)
            value_HTD = torch.cat([value_before, value_HTD], dim=1)
        if self._pack.keep:
            self._kept[layer] = _taken(key_HTD, self._pack.keep), _taken(value_HTD, self._pack.keep)
        if self._flash is not None and cap is None and _flash_takes(query_HTD, window):
            return self._flash.attend(query_HTD, key_HTD, value_HTD, scale=scale, window=window)
        out_THD = query_HTD.new_empty(query_HTD.shape[1], query_HTD.shape[0], value_HTD.shape[2])
        for span in self._pack.spans:
            self._attend_span(span, out_THD, query_HTD, key_HTD, value_HTD, scale=scale, window=window, cap=cap)
        return out_THD

    def _attend_span(
        self,
        span: Span,
        out_THD: torch.Tensor,
        query_HTD: torch.Tensor,
        key_HTD: torch.Tensor,
        value_HTD: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        cap: float | None,
    ) -> None:
        key_HKD, value_HKD = _taken(key_HTD, span.keys), _taken(value_HTD, span.keys)
        heads, shared = query_HTD.shape[0], key_HKD.shape[0]
        start, end = span.rows
        past = key_HKD.shape[1] - (end - start)
        most = max(1, min(_BLOCK_ROWS, _BLOCK_SCORES // (heads * key_HKD.shape[1])))
        rows = -(-(end - start) // -(-(end - start) // most))
        for first in range(start, end, rows):
            last = min(end, first + rows)
            count = last - first
            seen = past + last - start
            begin = 0 if window is None else max(0, seen - count + 1 - window)
            # Heads that share keys stand under each other as rows of one matrix.
            query_HRD = query_HTD[:, first:last].reshape(shared, -1, query_HTD.shape[2])
            scores = torch.bmm(query_HRD, key_HKD[:, begin:seen].transpose(1, 2)).view(heads, count, -1)
            left = scale
            if cap is not None:
                scores, left = torch.tanh(scores * (scale / cap)) * cap, 1.0
            if window is None and seen > _MASKED_WHOLE:
                scores *= left
                scores[:, :, -count:] += self._mask(count, count, None, scores)
            else:
                # Scaled and masked in one pass over whole rows: adding to a part of each row alone takes longer.
                mask = self._mask(count, seen - begin, window, scores)
                torch.add(mask, scores, alpha=left, out=scores)
            weights = torch.softmax(scores, dim=-1).view(shared, -1, seen - begin)
            mixed = torch.bmm(weights, value_HKD[:, begin:seen])
            out_THD[first:last] = mixed.view(heads, count, -1).transpose(0, 1)

    def _mask(self, rows: int, keys: int, window: int | None, like: torch.Tensor) -> torch.Tensor:
        """To add to the scores of the last `rows` queries of a text over its last `keys` keys."""
        found = self._masks.get((rows, keys, window))
        if found is None:
            seen = torch.ones(rows, keys, dtype=torch.bool, device=like.device).tril(keys - rows)
            if window is not None:
                seen = seen.triu(keys - rows - window + 1)
            found = torch.zeros(rows, keys, dtype=like.dtype, device=like.device).masked_fill_(~seen, -math.inf)
            self._masks[rows, keys, window] = found
        return found


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


_running: ContextVar[Layers | None] = ContextVar("running", default=None)


@contextmanager
def running(layers: Layers) -> Iterator[None]:
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
    layers = _running.get()
    if layers is None or attention_mask is not None or any(more.get(name) is not None for name in _CHANGES_SCORES):
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


def to_device(small: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A copy that does not wait for what the device still has to do."""
    return small.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else small


def _taken(of_HTD: torch.Tensor, stretches: tuple[Any, ...]) -> torch.Tensor:
    if len(stretches) == 1:
        return of_HTD[:, slice(*stretches[0])]
    return torch.cat([of_HTD[:, slice(*stretch)] for stretch in stretches], dim=1)


def _flash_takes(query_HTD: torch.Tensor, window: int | None) -> bool:
    half = query_HTD.dtype in (torch.bfloat16, torch.float16)
    return half and query_HTD.shape[2] <= _FLASH_HEAD_SIZE


def _running_sum(lengths: list[int], device: torch.device) -> torch.Tensor:
    sums = torch.cumsum(torch.tensor([0, *lengths]), 0, dtype=torch.int32)
    return to_device(sums, device)
