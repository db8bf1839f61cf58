"""log π0(ỹ_t | x, ỹ_<t) of many groups' candidates at once, packed: the fast way to run a model for eq. 6.

A judge is asked in the same way: of `next_ids` that are given, the log-probabilities right behind each whole candidate
come back, and no other row goes through the output layer.

Promises: one log-probability an id, the same whatever else is in the batch (up to the rounding of the model's
precision); logits only at target positions, in chunks; on a device that ran out of memory smaller packs are tried, and
only a candidate that does not fit in the smallest is `OutOfMemory`. On a CPU each core runs packs of its own (`lanes`).

`PackedScorer` raises `CannotPack` for a model whose own code cannot be run on packed rows;
`rewright.service.models.forward.choose` then takes a slower way. Not covered: which candidates belong together in a
batch (`rewright.service.core.batcher`).
"""

from collections.abc import Sequence
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import torch

from rewright.service.models.forward.cpu_lanes import Lanes
from rewright.service.models.forward.packed_attention import NAME, Layers, running, to_device
from rewright.service.models.forward.packing import Ids, Pack, Tree, packs
from rewright.service.models.forward.parts import body_of, output_of
from rewright.service.models.forward.target_logprobs import in_chunks, pick
from rewright.service.models.memory_split import OutOfMemory, is_out_of_memory
from rewright.service.models.same_weights import same_weights

if TYPE_CHECKING:
    from rewright.service.models.backbone import Backbone

_SMALLEST = 64
"""Rows of a pack below which memory is not worth another try."""
_CPU_ROWS = 1024
"""Rows of a core's pack: fewer read the weights too often (docs/log.md, 2026-11-22), more cost memory for nothing."""


class CannotPack(Exception):
    """The model's attention is not one that packed rows cover."""


class PackedScorer:
    """Scores candidates of several prefixes in one row. Belongs to the thread that owns the model.

    batch_tokens: the largest number of rows of one forward pass; a CPU takes fewer, one pass per core at a time.
    compiled: what stands around the attentions and behind the logits is compiled, at the first forward passes.
    """

    way = "packed"

    def __init__(self, backbone: "Backbone", *, batch_tokens: int, compiled: bool = False) -> None:
        self._device = backbone.device
        self._rows = min(batch_tokens, _CPU_ROWS) if backbone.device.type == "cpu" else batch_tokens
        body = body_of(backbone.model)
        self._output = output_of(backbone.model, body)
        self._body = same_weights(body, attention=NAME)
        self._pick = pick
        if compiled:
            self._pick = torch.compile(pick, dynamic=True)
            for layer in chain(*(child for child in self._body.children() if isinstance(child, torch.nn.ModuleList))):
                layer.compile(dynamic=True)
        self._layers, self._windows = attention_layers(backbone.model.config.get_text_config(decoder=True))
        self._lanes = Lanes(torch.get_num_threads()) if backbone.device.type == "cpu" else None

    def score(
        self, trees: Sequence[Tree], *, rows: int | None = None, next_ids: Ids = ()
    ) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n].

        rows: the largest number of rows of one forward pass, instead of the scorer's own. next_ids: where given, what
        comes back are the log-probabilities of these ids right behind the candidate, float32.

        Raises `CannotPack`.
        """
        flat = [(tree.prefix, ids) for tree in trees for ids in tree.candidates]
        size = rows or self._rows
        if self._lanes is None:
            found = self._all(flat, size, next_ids)
        else:
            found = self._lanes.run(lambda part: self._all(part, size, next_ids), flat, cost=_rows)
        ends = accumulate(len(tree.candidates) for tree in trees)
        return [found[end - len(tree.candidates) : end] for end, tree in zip(ends, trees, strict=True)]

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.close()

    def _all(self, flat: Sequence[tuple[Ids, Ids]], rows: int, next_ids: Ids) -> list[torch.Tensor | OutOfMemory]:
        found: list[torch.Tensor | OutOfMemory] = []
        while len(found) < len(flat):
            done, all_done = self._stream(_regrouped(flat[len(found) :]), rows, next_ids)
            found += done
            if all_done:
                break
            # Outside of any handler: an exception's frames hold the tensors that did not fit.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if rows > _SMALLEST:
                rows = max(_SMALLEST, rows // 2)
                continue
            prefix, ids = flat[len(found)]
            alone, fits = self._stream([Tree(prefix, [ids])], rows, next_ids)
            found += alone if fits else [OutOfMemory()]
        return found

    @torch.inference_mode()
    def _stream(self, trees: Sequence[Tree], rows: int, next_ids: Ids) -> tuple[list[torch.Tensor], bool]:
        """The candidates, in order, that were scored before memory ran out; and whether these are all."""
        lengths = [len(next_ids or ids) for tree in trees for ids in tree.candidates]
        logprobs_S = torch.empty(sum(lengths), device=self._device)
        complete = 0
        fits = True
        layers: Layers | None = None
        try:
            for pack in packs(trees, size=rows, next_ids=next_ids):
                layers = self._run(pack, layers, logprobs_S, next_ids)
                complete = pack.done
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            fits = False
        lengths = lengths[:complete]
        return (list(torch.split(logprobs_S[: sum(lengths)].cpu(), lengths)) if lengths else []), fits

    def _run(self, pack: Pack, before: Layers | None, logprobs_S: torch.Tensor, next_ids: Ids) -> Layers:
        layers = Layers(pack, before, self._device)
        ids_1T, positions_1T, reads_R, targets_R, slots_R = (
            to_device(torch.tensor(each), self._device)
            for each in ([pack.ids], [pack.positions], pack.reads, pack.targets, pack.slots)
        )
        with running(layers):
            states = self._body(input_ids=ids_1T, position_ids=positions_1T, use_cache=False).last_hidden_state[0]
        layers.release_before()
        if (layers.calls, layers.windows) != (self._layers, self._windows):
            raise CannotPack(f"{layers.calls} attentions, {layers.windows} of them sliding, went through the pack")
        if pack.reads and next_ids:
            # A candidate's reads stand side by side: all of its last row.
            asked_N = targets_R[: len(next_ids)]
            logprobs_S[slots_R] = self._output.next(states[reads_R[:: len(next_ids)]], asked_N).flatten()
        elif pack.reads:
            logprobs_S[slots_R] = in_chunks(
                self._output, states[reads_R], targets_R, vocabulary=self._output.vocabulary, pick=self._pick
            )
        return layers


def attention_layers(config: Any) -> tuple[int, int]:
    """How many attentions one forward pass makes, and how many of them slide. A short probe cannot see the latter."""
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        return layers, layers if getattr(config, "sliding_window", None) is not None else 0
    if other := set(kinds) - {"full_attention", "sliding_attention"}:
        raise CannotPack(f"layers of the kinds {sorted(other)}")
    return layers, sum(kind == "sliding_attention" for kind in kinds)


def _rows(candidates: Sequence[tuple[Ids, Ids]]) -> int:
    return sum(tree.rows for tree in _regrouped(candidates))


def _regrouped(candidates: Sequence[tuple[Ids, Ids]]) -> list[Tree]:
    """Neighbours with the same prefix object as one tree."""
    trees: list[Tree] = []
    for prefix, ids in candidates:
        if trees and trees[-1].prefix is prefix:
            trees[-1] = Tree(prefix, [*trees[-1].candidates, ids])
        else:
            trees.append(Tree(prefix, [ids]))
    return trees
