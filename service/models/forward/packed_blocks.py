"""Attention of packed rows as matrix products over blocks of queries, forward and backward: for CPUs, and for what the
varlen kernel does not take.

Promises: scores exist for one block of queries at a time, on the way back too, where they are computed again; so memory
grows with the rows, not with rows times keys. Keys that several spans see get the sum of their gradients, in float32.

Not covered: dropout; second derivatives.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from rewright.service.models.forward.packing import Span, Stretch

_BLOCK_ROWS = 144
"""Queries of one block: few, so that little is computed above the diagonal; enough to keep matrix products busy."""
_BLOCK_SCORES = 16 * 2**20
"""Attention scores that exist at once, all heads together."""
_MASKED_WHOLE = 1024
"""Keys up to which a mask has whole rows; it would cost memory for more, and there its share of the time is small."""


class Shape(NamedTuple):
    """What a layer asks of its attention."""

    scale: float
    window: int | None
    cap: float | None


class _Block(NamedTuple):
    """Queries of the pack, so many, and the keys of their span that they see."""

    rows: slice
    keys: slice
    size: int


@dataclass
class Spans:
    """The spans of one pack, and the masks that its blocks share."""

    spans: Sequence[Span]
    _masks: dict[tuple[int, int, int | None], torch.Tensor] = field(default_factory=dict)

    def attend(
        self, query_HTD: torch.Tensor, key_HTD: torch.Tensor, value_HTD: torch.Tensor, shape: Shape
    ) -> torch.Tensor:
        """Shape [T, H, D]. Keys and values are those kept from the pack before, then this pack's own."""
        if torch.is_grad_enabled() and any(each.requires_grad for each in (query_HTD, key_HTD, value_HTD)):
            out_THD: torch.Tensor = _WithGradient.apply(query_HTD, key_HTD, value_HTD, self, shape)  # type: ignore[no-untyped-call]
            return out_THD
        return self.forward(query_HTD, key_HTD, value_HTD, shape)

    def forward(
        self, query_HTD: torch.Tensor, key_HTD: torch.Tensor, value_HTD: torch.Tensor, shape: Shape
    ) -> torch.Tensor:
        out_THD = query_HTD.new_empty(query_HTD.shape[1], query_HTD.shape[0], value_HTD.shape[2])
        for span in self.spans:
            key_HKD, value_HKD = taken(key_HTD, span.keys), taken(value_HTD, span.keys)
            shared = key_HKD.shape[0]
            for block in _blocks(span, query_HTD.shape[0], key_HKD.shape[1], shape.window):
                # Heads that share keys stand under each other as rows of one matrix.
                query_HRD = query_HTD[:, block.rows].reshape(shared, -1, query_HTD.shape[2])
                weights_HQK, _ = self._weights(query_HRD, key_HKD, block, query_HTD.shape[0], shape)
                mixed = torch.bmm(weights_HQK.view(shared, query_HRD.shape[1], -1), value_HKD[:, block.keys])
                out_THD[block.rows] = mixed.view(query_HTD.shape[0], block.size, -1).transpose(0, 1)
        return out_THD

    def backward(
        self, tensors: Sequence[torch.Tensor], grad_THD: torch.Tensor, shape: Shape
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Gradients of queries, keys and values; `tensors` are these three, then what `forward` gave."""
        query_HTD, key_HTD, value_HTD, out_THD = tensors
        heads = query_HTD.shape[0]
        grad_query_HTD = torch.empty_like(query_HTD)
        grad_key_HTD = torch.zeros_like(key_HTD, dtype=torch.float32)
        grad_value_HTD = torch.zeros_like(value_HTD, dtype=torch.float32)
        # Softmax hands on what its rows' gradients differ from this, their weighted mean.
        mean_HT1 = (grad_THD.float() * out_THD).sum(dim=2).T[:, :, None]
        for span in self.spans:
            key_HKD, value_HKD = taken(key_HTD, span.keys), taken(value_HTD, span.keys)
            grad_key_HKD = torch.zeros_like(key_HKD, dtype=torch.float32)
            grad_value_HKD = torch.zeros_like(value_HKD, dtype=torch.float32)
            shared = key_HKD.shape[0]
            for block in _blocks(span, heads, key_HKD.shape[1], shape.window):
                query_HRD = query_HTD[:, block.rows].reshape(shared, -1, query_HTD.shape[2])
                rows = query_HRD.shape[1]
                weights_HQK, flat_HQK = self._weights(query_HRD, key_HKD, block, heads, shape)
                grad_HRD = grad_THD[block.rows].transpose(0, 1).reshape(shared, rows, -1)
                weights_HRK = weights_HQK.view(shared, rows, -1)
                grad_value_HKD[:, block.keys] += torch.bmm(weights_HRK.transpose(1, 2), grad_HRD)
                scores_HQK = torch.bmm(grad_HRD, value_HKD[:, block.keys].transpose(1, 2)).view(heads, block.size, -1)
                scores_HQK.sub_(mean_HT1[:, block.rows]).mul_(weights_HQK).mul_(shape.scale)
                if flat_HQK is not None:
                    scores_HQK *= 1 - flat_HQK**2
                scores_HRK = scores_HQK.view(shared, rows, -1)
                grad_query_HTD[:, block.rows] = torch.bmm(scores_HRK, key_HKD[:, block.keys]).view(
                    heads, block.size, -1
                )
                grad_key_HKD[:, block.keys] += torch.bmm(scores_HRK.transpose(1, 2), query_HRD)
            _give_back(grad_key_HTD, grad_key_HKD, span.keys)
            _give_back(grad_value_HTD, grad_value_HKD, span.keys)
        return grad_query_HTD, grad_key_HTD.to(key_HTD.dtype), grad_value_HTD.to(value_HTD.dtype)

    def _weights(
        self, query_HRD: torch.Tensor, key_HKD: torch.Tensor, block: _Block, heads: int, shape: Shape
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The softmax of a block's scores, shape [H, Q, K]; and where scores are capped, the tanh before the cap."""
        scores = torch.bmm(query_HRD, key_HKD[:, block.keys].transpose(1, 2)).view(heads, block.size, -1)
        flat, left = None, shape.scale
        if shape.cap is not None:
            flat = torch.tanh(scores * (shape.scale / shape.cap))
            scores, left = flat * shape.cap, 1.0
        if shape.window is None and block.keys.stop > _MASKED_WHOLE:
            scores *= left
            scores[:, :, -block.size :] += self._mask(block.size, block.size, None, scores)
        else:
            # Scaled and masked in one pass over whole rows: adding to a part of each row alone takes longer.
            mask = self._mask(block.size, scores.shape[2], shape.window, scores)
            torch.add(mask, scores, alpha=left, out=scores)
        return torch.softmax(scores, dim=-1), flat

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


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917 - autograd calls it like this
        ctx: Any,
        query_HTD: torch.Tensor,
        key_HTD: torch.Tensor,
        value_HTD: torch.Tensor,
        spans: Spans,
        shape: Shape,
    ) -> torch.Tensor:
        out_THD = spans.forward(query_HTD, key_HTD, value_HTD, shape)
        ctx.save_for_backward(query_HTD, key_HTD, value_HTD, out_THD)
        ctx.asked = spans, shape
        return out_THD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_THD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        spans, shape = ctx.asked
        return (*spans.backward(ctx.saved_tensors, grad_THD, shape), None, None)


def taken(of_HTD: torch.Tensor, stretches: tuple[Stretch, ...]) -> torch.Tensor:
    """These stretches, one behind the other."""
    if len(stretches) == 1:
        return of_HTD[:, slice(*stretches[0])]
    return torch.cat([of_HTD[:, slice(*stretch)] for stretch in stretches], dim=1)


def _give_back(into_HTD: torch.Tensor, from_HKD: torch.Tensor, stretches: tuple[Stretch, ...]) -> None:
    at = 0
    for start, end in stretches:
        into_HTD[:, start:end] += from_HKD[:, at : at + end - start]
        at += end - start


def _blocks(span: Span, heads: int, keys: int, window: int | None) -> Iterator[_Block]:
    start, end = span.rows
    past = keys - (end - start)
    most = max(1, min(_BLOCK_ROWS, _BLOCK_SCORES // (heads * keys)))
    rows = -(-(end - start) // -(-(end - start) // most))
    for first in range(start, end, rows):
        last = min(end, first + rows)
        seen = past + last - start
        begin = 0 if window is None else max(0, seen - (last - first) + 1 - window)
        yield _Block(slice(first, last), slice(begin, seen), last - first)
