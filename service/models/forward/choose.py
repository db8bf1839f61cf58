"""How a model may be run for eq. 6: the fastest way that says what the model itself says.

    packed    candidates of all groups in one row without padding, each prefix once
              (`rewright.service.models.forward.packed`)
    shared    what is remembered of the prefix repeated for a batch of its candidates, the output layer on target rows
    repeated  each candidate with the prefix before it, the output layer on target rows
    plain     the same, through the model's own logits

Promises: each of them, the last too, is held against the model run eagerly on one text at a time
(`rewright.service.models.forward.reference`), and the first is taken that differs by no more than rounding. Where the
attention that the model was loaded with leaves something out, the padded ways use the eager one. What was passed over
is one line in the log, with why and by how much. Positions whose encoding depends on the length of the whole batch
(dynamic and long RoPE) would let neighbours change a score: such a model runs one candidate at a time.

Not covered: what a probe of a few sentences cannot see; windows are shortened for it, so that it sees those.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import torch

from rewright.service.models.backbone import Backbone
from rewright.service.models.errors import ModelError, first_line
from rewright.service.models.forward.packed import CannotPack, PackedScorer
from rewright.service.models.forward.packing import Ids, Tree
from rewright.service.models.forward.parts import CannotSplit
from rewright.service.models.forward.reference import Reference, mean_difference, reference
from rewright.service.models.forward.shared_prefix import CannotShare, PrefixScorer
from rewright.service.models.memory_split import OutOfMemory
from rewright.service.models.same_weights import same_weights, with_short_windows

_log = logging.getLogger(__name__)

_LENGTH_DEPENDENT_ROPE = {"dynamic", "longrope"}
_CUT = 48
"""Rows of the probe's packs: few, so that prefixes and candidates are cut."""
_WINDOW = 8
"""Of the probe: shorter than its texts."""
_CLOSE = 1e-4
"""Nats a token, on average: what may differ in float32."""
_AS_ROUNDING = 1.5
"""In half precision: how many times the rounding of the model's own forward a way may differ from float32."""
_PADDED: tuple[Literal["shared", "repeated", "plain"], ...] = ("shared", "repeated", "plain")
CANNOT = (
    AssertionError, AttributeError, CannotPack, CannotShare, CannotSplit, IndexError, KeyError, NotImplementedError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a model raises that cannot be run in some way."""
_PROBE = (
    "What is twelve times seven? Ten times seven is seventy, and two times seven is fourteen. Together they are "
    "eighty-four, so the answer is 84. If you take three apples away from the basket, there are five of them left. "
    "The train leaves the station at nine in the morning and arrives at noon, so it needs three hours for the whole "
    "way. Let x be the number of books on the table; then x + 4 = 10, and therefore x = 6. We can check this: 6 + 4 is "
    "10, as it should be. The sum of the angles of a triangle is 180 degrees, and this one has two angles of 60."
)
"""Words that any language model has read: of what it finds likely, rounding moves less than of nonsense."""


class TargetScorer(Protocol):
    """Scores candidates of several prefixes. Not thread-safe: belongs to the thread that owns the model."""

    @property
    def way(self) -> str: ...

    def score(self, trees: Sequence[Tree]) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n]."""

    def close(self) -> None: ...


class NextScorer(TargetScorer, Protocol):
    def score(self, trees: Sequence[Tree], *, next_ids: Ids = ()) -> list[list[torch.Tensor | OutOfMemory]]:
        """next_ids: where given, the log-probabilities of these ids right behind each candidate, instead."""


class _Rung(NamedTuple):
    name: str
    make: Callable[[Backbone], NextScorer]


def fastest_scorer(backbone: Backbone, *, batch_tokens: int, next_ids: Ids = ()) -> NextScorer:
    """batch_tokens: the largest number of tokens of one forward pass. next_ids: what a judge will ask for; the probe
    then asks for it too.

    Raises `ModelError` for a model whose scores nothing here can repeat.
    """
    trees = _probe(backbone)
    probed, wanted = _reference(backbone, trees, next_ids)
    if not all(bool(torch.isfinite(one).all()) for one in wanted.exact):
        raise ModelError(
            f"{backbone.name!r} gives no finite log-probabilities for plain words; is its checkpoint whole? If so, use "
            "another precision"
        )
    passed_over: dict[str, list[str]] = {}
    for rung in _ladder(backbone, batch_tokens):
        why = _fault(rung, probed, trees, next_ids, wanted)
        if why is None:
            if passed_over:
                story = "; ".join(f"{', '.join(names)} {why}" for why, names in passed_over.items())
                _log.warning("%s runs %s: %s", backbone.name, rung.name, story)
            return rung.make(backbone)
        passed_over.setdefault(why, []).append(rung.name)
    raise ModelError(
        f"{backbone.name!r} does not score a text alike twice, even alone ({list(passed_over)[-1]}); name another model"
    )


def _ladder(backbone: Backbone, batch_tokens: int) -> Iterator[_Rung]:
    config = backbone.model.config.get_text_config(decoder=True)
    alone = length_changes_positions(config)
    if not alone:
        yield _Rung("packed", partial(PackedScorer, batch_tokens=batch_tokens))
    ways: tuple[Literal["shared", "repeated", "plain"], ...] = ("repeated", "plain") if alone else _PADDED
    padded = partial(PrefixScorer, batch_tokens=batch_tokens)
    for way in ways:
        yield _Rung(way, partial(padded, way=way, alone=alone))
    eager = partial(same_weights, attention="eager")
    for way in ways:
        yield _Rung(f"{way}, eager", _on(eager, partial(padded, way=way, alone=alone)))
    yield _Rung("plain, eager, alone", _on(eager, partial(padded, way="plain", alone=True)))


def _on(twin: Callable[[Any], Any], make: Callable[[Backbone], NextScorer]) -> Callable[[Backbone], NextScorer]:
    return lambda backbone: make(replace(backbone, model=twin(backbone.model)))


def _reference(backbone: Backbone, trees: Sequence[Tree], next_ids: Ids) -> tuple[Backbone, Reference]:
    """With the model that the probe runs on: the same one with short windows, unless its code does not bear them."""
    short = replace(backbone, model=with_short_windows(backbone.model, window=_WINDOW))
    try:
        return short, reference(short.model, trees, next_ids=next_ids)
    except CANNOT:
        return backbone, reference(backbone.model, trees, next_ids=next_ids)


def _fault(rung: _Rung, probed: Backbone, trees: Sequence[Tree], next_ids: Ids, wanted: Reference) -> str | None:
    """Why a way cannot be taken; None where it can."""
    try:
        scorer = rung.make(probed)
        try:
            cut = {"rows": _CUT} if isinstance(scorer, PackedScorer) else {}
            each = [one for candidates in scorer.score(trees, next_ids=next_ids, **cut) for one in candidates]
        finally:
            scorer.close()
    except CANNOT as error:
        return f"cannot ({type(error).__name__}: {first_line(error)[:120]})"
    found = [one for one in each if isinstance(one, torch.Tensor)]
    if len(found) < len(each):
        return "ran out of memory"
    if probed.dtype == torch.float32:
        worst = max(mean_difference([one], [exact]) for one, exact in zip(found, wanted.exact, strict=True))
        return None if worst <= _CLOSE else f"differs by {worst:.2g} nats a token ({_CLOSE:.0e} allowed)"
    differs, allowed = mean_difference(found, wanted.exact), _AS_ROUNDING * wanted.rounding + _CLOSE
    return None if differs <= allowed else f"differs by {differs:.2g} nats a token ({allowed:.2g} allowed)"


def _probe(backbone: Backbone) -> list[Tree]:
    """Two prefixes, and candidates of unlike length that go on with the sentences where they can."""
    vocabulary = int(backbone.model.config.get_text_config(decoder=True).vocab_size)
    tokenizer: Any = backbone.tokenizer
    read = tokenizer(_PROBE, add_special_tokens=False)["input_ids"] if tokenizer is not None else []
    ids = [one for one in read if one < vocabulary]
    if len(ids) < 120:
        ids = [(7 * i * i + 3 * i + 3) % vocabulary for i in range(120)]
    start = [] if tokenizer is None or tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    return [
        Tree([*start, *ids[:20]], [ids[20:100], ids[20:21], ids[40:53]]),
        Tree([*start, *ids[60:64]], [ids[64:96], ids[64:73]]),
    ]


def length_changes_positions(config: Any) -> bool:
    """Whether how long the longest text of a batch is changes how every position is encoded."""
    # `rope_parameters` is one mapping, or one a kind of layer.
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [p for p in parameters.values() if isinstance(p, dict)]
    return any(str(p.get("rope_type")) in _LENGTH_DEPENDENT_ROPE for p in [parameters, *nested])
