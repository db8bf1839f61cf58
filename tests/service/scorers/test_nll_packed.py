"""nll on packed rows: cut anywhere, beside anything, a candidate's score is that of a plain forward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from rewright.service.models.backbone import Backbone, load_backbone
from rewright.service.models.device import bfloat16_is_fast
from rewright.service.models.forward import packed_blocks
from rewright.service.models.forward.choose import fastest_scorer
from rewright.service.models.forward.packed import CannotPack, PackedScorer
from rewright.service.models.forward.packing import Tree
from rewright.service.schema import Group, NllScored
from tests.service.scorers import tiny_models as tiny
from tests.service.scorers.nll_reference import one_at_a_time, scores, scores_of_calls
from tests.service.scorers.test_nll import FAMILIES

FAST = "bfloat16" if bfloat16_is_fast(torch.device("cpu")) else "float32"
"""Of the two precisions the one that `auto` takes here; the other may be ten times slower."""
SLIDING = {"mistral", "gemma3_text", "gemma2"}


def text(seed: int, length: int) -> list[int]:
    return [(seed * 131 + 17 * i + i * i) % 1100 for i in range(length)]


TREES = [
    Tree(text(1, 30), [text(2, 70), text(3, 1), text(4, 33)]),
    Tree(text(5, 3), [text(6, 140)]),
    Tree(text(7, 61), [text(8, 2), text(9, 90)]),
]


@torch.inference_mode()
def plainly(model: Any, trees: list[Tree]) -> list[torch.Tensor]:
    found = []
    for prefix, candidates in trees:
        for ids in candidates:
            row = torch.tensor([[*prefix, *ids]])
            logprobs = model(input_ids=row, use_cache=False).logits[0, len(prefix) - 1 : -1].float().log_softmax(-1)
            found.append(logprobs.gather(1, row[0, len(prefix) :, None]).squeeze(1))
    return found


def flat(found: list[list[Any]]) -> list[torch.Tensor]:
    return [one for candidates in found for one in candidates]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_runs_packed_and_agrees_token_by_token_wherever_packs_are_cut(family: str) -> None:
    backbone = tiny.tiny_backbone(family, **FAMILIES[family])
    scorer = fastest_scorer(backbone, batch_tokens=4096)
    assert isinstance(scorer, PackedScorer)
    backbone.model.set_attn_implementation("eager")
    plain = plainly(backbone.model, TREES)
    for rows in (4096, 150, 64, 23):
        for mine, theirs in zip(flat(scorer.score(TREES, rows=rows)), plain, strict=True):
            assert torch.allclose(mine, theirs, rtol=0, atol=2e-4), (family, rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_too_long_for_masks_of_whole_rows_agree_as_well(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_blocks, "_MASKED_WHOLE", 40)
    backbone = tiny.tiny_backbone(family, **FAMILIES[family])
    scorer = PackedScorer(backbone, batch_tokens=4096)
    backbone.model.set_attn_implementation("eager")
    for mine, theirs in zip(flat(scorer.score(TREES, rows=150)), plainly(backbone.model, TREES), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=2e-4)


def test_a_batch_cut_over_the_cores_agrees_and_keeps_its_order() -> None:
    backbone = tiny.tiny_backbone("llama")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        scorer = PackedScorer(backbone, batch_tokens=4096)
    finally:
        torch.set_num_threads(before)
    trees = [Tree(text(i, 20 + i), [text(i + 50, 90), text(i + 90, 40 + 3 * i)]) for i in range(6)]
    assert sum(tree.rows for tree in trees) > 512
    found = scorer.score(trees)
    assert [len(each) for each in found] == [2] * 6
    for mine, theirs in zip(flat(found), plainly(backbone.model, trees), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("family", sorted(SLIDING))
def test_a_sliding_window_longer_than_the_probe_is_kept_to(family: str) -> None:
    changes = {**FAMILIES[family], "sliding_window": 40}
    backbone = tiny.tiny_backbone(family, **changes)
    scorer = fastest_scorer(backbone, batch_tokens=50)
    assert scorer.way == "packed"
    backbone.model.set_attn_implementation("eager")
    for mine, theirs in zip(flat(scorer.score(TREES)), plainly(backbone.model, TREES), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=2e-4)
    unlimited = plainly(tiny.tiny_backbone(family, **{**changes, "sliding_window": 4000}).model, TREES)
    assert (flat(scorer.score(TREES))[0] - unlimited[0]).abs().max() > 1e-2


@pytest.mark.parametrize(("family", "way"), [("bloom", "shared"), ("gpt_oss", "shared"), ("mamba", "repeated")])
def test_what_packed_attention_does_not_cover_runs_another_way_and_agrees(family: str, way: str) -> None:
    backbone = tiny.tiny_backbone(family)
    scorer = fastest_scorer(backbone, batch_tokens=4096)
    assert scorer.way == way
    for mine, theirs in zip(flat(scorer.score(TREES)), plainly(backbone.model, TREES), strict=True):
        assert torch.allclose(mine, theirs, rtol=0, atol=1e-3)


def test_layers_that_are_no_attention_are_refused() -> None:
    with pytest.raises(CannotPack):
        PackedScorer(tiny.tiny_backbone("lfm2", layer_types=["conv", "full_attention", "conv"]), batch_tokens=64)


def test_the_model_itself_is_left_as_it_was() -> None:
    backbone = tiny.tiny_backbone("llama")
    before = plainly(backbone.model, TREES)
    weights = {name: weight.data_ptr() for name, weight in backbone.model.named_parameters()}
    PackedScorer(backbone, batch_tokens=100).score(TREES)
    assert backbone.model.config._attn_implementation == "sdpa"
    assert {name: weight.data_ptr() for name, weight in backbone.model.named_parameters()} == weights
    assert all(torch.equal(a, b) for a, b in zip(plainly(backbone.model, TREES), before, strict=True))


@pytest.mark.parametrize(
    ("precision", "allowed"),
    [
        pytest.param(precision, allowed, marks=[] if precision == FAST else [pytest.mark.slow])
        for precision, allowed in (("float32", 1e-5), ("bfloat16", 2e-2))
    ],
)
def test_neighbours_change_a_real_score_by_rounding_alone(
    precision: str, allowed: float, embedded_backbone: Backbone, shared_rows: Callable[[str], list[dict[str, Any]]]
) -> None:
    backbone = load_backbone("embedded", precision=precision, device="cpu")
    row = min(shared_rows("groups.jsonl"), key=lambda r: sum(map(len, r["candidates"])))
    group = Group(id="g", problem=row["problem"], candidates=row["candidates"])
    other = Group(id="o", problem="What is 3 times 4?", candidates=["It is 12.", "13"])
    together = scores(backbone, [other, group], batch_tokens=300)[1].candidates
    each = scores_of_calls(backbone, [[group.model_copy(update={"candidates": [text]})] for text in group.candidates])
    for text_, item, (by_itself,) in zip(group.candidates, together, each, strict=True):
        alone = by_itself.candidates[0]
        assert isinstance(item, NllScored)
        assert alone.nll == pytest.approx(item.nll, abs=allowed)
        if precision == "float32":
            assert item.nll == pytest.approx(one_at_a_time(embedded_backbone, group.problem or "", text_), abs=1e-4)
