"""How a model may be run for eq. 6: the fastest way that agrees with the model's own plain forward on a probe.

    packed    candidates of all groups in one row without padding, each prefix once
    (`rewright.service.models.forward.packed`) shared    the prefix's cache repeated for a batch of its candidates, the
    output layer on target rows repeated  each candidate with the prefix before it, the output layer on target rows
    plain     the same, through the model's own logits

Promises: the first of these that gives the probe's tokens the same log-probabilities. Positions whose encoding depends
on the length of the whole batch (dynamic and long RoPE) would let neighbours change a score: such a model runs
`repeated`, one candidate at a time.

Not covered: what a probe of a few tokens cannot see, except sliding windows, which
`rewright.service.models.forward.packed` counts.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch

from rewright.service.models.backbone import Backbone
from rewright.service.models.forward.packed import CannotPack, PackedScorer, same_weights
from rewright.service.models.forward.packing import Ids, Tree
from rewright.service.models.forward.shared_prefix import PrefixScorer
from rewright.service.models.forward.target_logprobs import pick
from rewright.service.models.memory_split import OutOfMemory

Way = Literal["packed", "shared", "repeated", "plain"]

_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
_CUT = 16
"""Rows of the probe's packs: few, so that prefixes and candidates are cut."""
CANNOT = (
    AttributeError, CannotPack, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a model raises that cannot be run in some way."""


class TargetScorer(Protocol):
    """Scores candidates of several prefixes. Not thread-safe: belongs to the thread that owns the model."""

    @property
    def way(self) -> str: ...

    def score(self, trees: Sequence[Tree]) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n]."""

    def close(self) -> None: ...


def fastest_scorer(backbone: Backbone, *, batch_tokens: int) -> TargetScorer:
    """batch_tokens: the largest number of tokens of one forward pass."""
    config = backbone.model.config.get_text_config(decoder=True)
    alone = length_changes_positions(config)
    trees = _probe(int(config.vocab_size))
    plain = _plainly(backbone, trees)
    tolerance = 1e-3 if backbone.dtype == torch.float32 else 0.3
    if not alone:
        try:
            packed = PackedScorer(backbone, batch_tokens=batch_tokens)
            if _agree(packed.score(trees, rows=_CUT), plain, tolerance):
                return packed
        except CANNOT:
            pass  # this model cannot be run that way; the next one asks less of it
    ways: tuple[Literal["shared", "repeated"], ...] = ("repeated",) if alone else ("shared", "repeated")
    for way in ways:
        scorer = PrefixScorer(backbone, batch_tokens=batch_tokens, way=way, alone=alone)
        try:
            if _agree(scorer.score(trees), plain, tolerance):
                return scorer
        except CANNOT:
            continue
    return PrefixScorer(backbone, batch_tokens=batch_tokens, way="plain", alone=alone)


def length_changes_positions(config: Any) -> bool:
    """Whether how long the longest text of a batch is changes how every position is encoded."""
    # `rope_parameters` is one mapping, or one a kind of layer.
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [p for p in parameters.values() if isinstance(p, dict)]
    return any(str(p.get("rope_type")) in _LENGTH_DEPENDENT_ROPE for p in [parameters, *nested])


@torch.inference_mode()
def _plainly(backbone: Backbone, trees: Sequence[Tree]) -> list[torch.Tensor]:
    # The fused attention of torch knows no soft capping and leaves it out without a word; "eager" is what is meant.
    model = same_weights(backbone.model, attention="eager")
    found = []
    for prefix, candidates in trees:
        for ids in candidates:
            row = torch.tensor([[*prefix, *ids]], device=backbone.device)
            logits_TV = model(input_ids=row, use_cache=False).logits[0, len(prefix) - 1 : -1]
            found.append(pick(logits_TV, row[0, len(prefix) :]).cpu())
    return found


def _agree(found: list[list[torch.Tensor | OutOfMemory]], plain: list[torch.Tensor], tolerance: float) -> bool:
    flat = [one for candidates in found for one in candidates]
    return all(
        isinstance(f, torch.Tensor) and torch.allclose(f, p, rtol=0, atol=tolerance)
        for f, p in zip(flat, plain, strict=True)
    )


def _probe(vocabulary: int) -> list[Tree]:
    """Two prefixes and candidates of unlike length, of ids that any vocabulary has."""
    ids: Ids = [(7 * i + 3) % vocabulary for i in range(24)]
    return [Tree(ids[:12], [ids[12:20], ids[20:23], ids[23:]]), Tree(ids[5:9], [ids[:9], ids[3:6]])]
