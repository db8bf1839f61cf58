"""Keys and values of the rows that are being written, in slots of one fixed tensor a layer.

The model runs on one packed row (`rewright.service.models.forward.packed_attention`): whole prompts when rows begin,
then one id of each row that is under way. Its attentions come here for their keys, so that no cache of transformers is
asked, no mask of a whole batch is built, and rows of different lengths stand side by side.

Promises: a prompt's keys are computed once and copied to the slots of all its rows; a slot's row is replaced without
touching the others; heads that share keys read them once.

Not covered: which row stands in which slot (`rewright.trainer.generation.packed_decoder`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.nn.functional import scaled_dot_product_attention

from rewright.service.models.forward.packed_attention import Layers
from rewright.service.models.forward.packing import Ids, Pack, Tree, packs

_GROWS_BY = 128
"""Positions, so that tensors are seldom made anew."""


class _Kept(NamedTuple):
    """Shape [slots, heads that have keys, positions, size] each."""

    keys: torch.Tensor
    values: torch.Tensor


class RowMemory:
    """Slots for `slots` rows. A layer's tensors are made when it is first asked, as its keys are."""

    def __init__(self, slots: int, device: torch.device) -> None:
        self._slots = slots
        self._device = device
        self._layers: dict[Any, _Kept] = {}
        self._positions = 0

    @property
    def positions(self) -> int:
        """What every slot can hold."""
        return self._positions

    def reserve(self, positions: int) -> None:
        """Every slot can hold so many."""
        if positions <= self._positions:
            return
        self._positions = -(-positions // _GROWS_BY) * _GROWS_BY
        for layer, kept in self._layers.items():
            self._layers[layer] = _Kept(*(_longer(each, self._positions) for each in kept))

    def copy(self, source: int, target: int, positions: int) -> None:
        """The first positions of a slot into another."""
        for kept in self._layers.values():
            for each in kept:
                each[target, :, :positions] = each[source, :, :positions]

    def store(
        self, layer: Any, slots: torch.Tensor, places: torch.Tensor, key_HTD: torch.Tensor, value_HTD: torch.Tensor
    ) -> _Kept:
        """slots, places: shape [T], where each of the T keys belongs; places inside what is reserved."""
        kept = self._layers.get(layer)
        if kept is None:
            kept = self._layers[layer] = _Kept(
                *(
                    each.new_zeros(self._slots, each.shape[0], self._positions, each.shape[2])
                    for each in (key_HTD, value_HTD)
                )
            )
        kept.keys[slots, :, places] = key_HTD.transpose(0, 1)
        kept.values[slots, :, places] = value_HTD.transpose(0, 1)
        return kept


class Reading:
    """The attentions of one pass over whole prompts: packed ones, whose keys are stored. slots: one a prompt."""

    def __init__(self, prompts: Sequence[Ids], slots: Sequence[int], memory: RowMemory, device: torch.device) -> None:
        self.pack: Pack = next(packs([Tree(ids, []) for ids in prompts], size=sum(map(len, prompts))))
        self._layers = Layers(self.pack, None, device)
        self._memory = memory
        owners = [slot for ids, slot in zip(prompts, slots, strict=True) for _ in ids]
        self._slots, self._places = (torch.tensor(each, device=device) for each in (owners, [*self.pack.positions]))
        memory.reserve(max(map(len, prompts)))

    @property
    def asked(self) -> tuple[int, int]:
        """Attentions that came, and how many of them asked for a sliding window."""
        return self._layers.calls, self._layers.windows

    def attend(
        self, layer: Any, query_HTD: torch.Tensor, key_HTD: torch.Tensor, value_HTD: torch.Tensor, **shape: Any
    ) -> torch.Tensor:
        """Shape [T, H, D]."""
        self._memory.store(layer, self._slots, self._places, key_HTD, value_HTD)
        return self._layers.attend(layer, query_HTD, key_HTD, value_HTD, **shape)


class Writing:
    """The attentions of one pass over the newest id of each of the first rows.

    lengths_B: shape [B], ids before it; longest: positions that are looked at, more than any length; even: whether all
    lengths are `longest` - 1, so that no position has to be hidden.
    """

    def __init__(self, lengths_B: torch.Tensor, memory: RowMemory, *, longest: int, even: bool = False) -> None:
        memory.reserve(longest)
        self._memory = memory
        self._longest = longest
        self._slots = torch.arange(len(lengths_B), device=lengths_B.device)
        self.lengths_B = lengths_B
        self._seen: dict[int | None, torch.Tensor] = {}
        self._even = even
        self.calls = self.windows = 0

    @property
    def asked(self) -> tuple[int, int]:
        """As `Reading.asked`."""
        return self.calls, self.windows

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
        """Shape [B, H, D]."""
        self.calls += 1
        self.windows += window is not None
        kept = self._memory.store(layer, self._slots, self.lengths_B, key_HTD, value_HTD)
        rows, heads, shared = query_HTD.shape[1], query_HTD.shape[0], key_HTD.shape[0]
        # Query heads of the same keys as if they were rows of one query: the keys are read once, nothing is repeated.
        query_BSGD = query_HTD.transpose(0, 1).reshape(rows, shared, heads // shared, -1)
        key_BSTD, value_BSTD = (each[:rows, :, : self._longest] for each in kept)
        seen_B11T = self._mask(window)
        if cap is None:
            out_BSGD = scaled_dot_product_attention(query_BSGD, key_BSTD, value_BSTD, attn_mask=seen_B11T, scale=scale)
        else:
            scores_BSGT = torch.tanh(query_BSGD @ key_BSTD.transpose(2, 3) * (scale / cap)) * cap
            if seen_B11T is not None:
                scores_BSGT = scores_BSGT.masked_fill(~seen_B11T, float("-inf"))
            out_BSGD = scores_BSGT.float().softmax(dim=-1).to(value_BSTD.dtype) @ value_BSTD
        return out_BSGD.reshape(rows, heads, -1)

    def _mask(self, window: int | None) -> torch.Tensor | None:
        """True where a row sees a position, shape [B, 1, 1, T]; None where all see all."""
        if window is not None and window >= self._longest:
            window = None
        if window is None and self._even:
            return None
        if window not in self._seen:
            back_BT = self.lengths_B[:, None] - torch.arange(self._longest, device=self.lengths_B.device)
            seen_BT = back_BT >= 0
            if window is not None:
                seen_BT &= back_BT < window
            self._seen[window] = seen_BT[:, None, None]
        return self._seen[window]


def _longer(kept: torch.Tensor, positions: int) -> torch.Tensor:
    grown = kept.new_zeros(*kept.shape[:2], positions, kept.shape[3])
    grown[:, :, : kept.shape[2]] = kept
    return grown
