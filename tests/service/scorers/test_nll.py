"""nll: eq. 6 against a plain forward of one candidate at a time, on tiny models of several families."""

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from rewright.service.errors import InvalidRequest, Overloaded, ScorerUnavailable
from rewright.service.models.backbone import Backbone
from rewright.service.models.errors import ModelError
from rewright.service.schema import Failed, Group, NllGroup, NllScored
from rewright.service.scorers.nll.scorer import BackboneNll
from tests.service.scorers import tiny_models as tiny
from tests.service.scorers.nll_reference import SETTINGS, one_at_a_time, scores

GROUPS = [
    Group(
        id="sum",
        problem="What is the sum of 12 and 30?",
        candidates=["42", "The sum is 42, so the answer is 42. " * 6, "x", "no", "It goes 180 km.\nTherefore yes."],
    ),
    Group(id="one", problem="How far does a train go? " * 5, candidates=["180 km in three hours"]),
]
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 24},
    "qwen2": {},
    "qwen3": {},
    "gemma3_text": {"sliding_window": 24, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    "gemma2": {"sliding_window": 24, "final_logit_softcapping": 5.0},
    "phi3": {},
    "cohere": {"logit_scale": 0.25},
    "granite": {"logits_scaling": 3.0},
}


def largest_difference(backbone: Backbone, groups: Sequence[Group], found: Sequence[NllGroup]) -> float:
    return max(
        abs(item.nll - one_at_a_time(backbone, group.problem or "", text))
        for group, result in zip(groups, found, strict=True)
        for text, item in zip(group.candidates, result.candidates, strict=True)
        if isinstance(item, NllScored)
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_tokens", [4096, 100])
def test_every_family_agrees_with_a_plain_forward(family: str, batch_tokens: int) -> None:
    backbone = tiny.tiny_backbone(family, **FAMILIES[family])
    backbone.model.set_attn_implementation("eager")  # torch's fused attention leaves soft caps out
    found = scores(backbone, GROUPS, batch_tokens=batch_tokens)
    assert [len(g.candidates) for g in found] == [5, 1]
    assert largest_difference(backbone, GROUPS, found) < 1e-4


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, "packed"),
        (
            {
                "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4},
                "max_position_embeddings": 64,
            },
            "repeated",
        ),
    ],
)
def test_the_way_a_model_is_run_is_found_and_told(changes: dict[str, Any], way: str) -> None:
    backbone = tiny.tiny_backbone("llama", **changes)

    async def run() -> tuple[dict[str, Any], Sequence[NllGroup]]:
        scorer = BackboneNll(load=lambda: backbone, **SETTINGS)
        await scorer.open()
        found = await scorer.score(GROUPS)
        described = scorer.describe()
        await scorer.close()
        return described, found

    described, found = asyncio.run(run())
    assert described["way"] == way and described["model"] == "tiny-llama" and described["max_tokens"] == 512
    assert described["precision"] == "float32" and described["template"]["date"] == "2025-01-01"
    for group, result in zip(GROUPS, found, strict=True):
        for text, item in zip(group.candidates, result.candidates, strict=True):
            # A fresh model each time: dynamic RoPE remembers what it has seen.
            plain = one_at_a_time(tiny.tiny_backbone("llama", **changes), group.problem or "", text)
            assert item.nll == pytest.approx(plain, abs=1e-4)


def test_neighbours_change_nothing() -> None:
    backbone = tiny.tiny_backbone("qwen3")
    together = scores(backbone, GROUPS)[0].candidates
    for text, item in zip(GROUPS[0].candidates, together, strict=True):
        (alone,) = scores(backbone, [Group(id="a", problem=GROUPS[0].problem, candidates=[text])])[0].candidates
        assert alone.nll == pytest.approx(item.nll, abs=1e-5)


def test_tokens_sum_to_the_score_and_spell_the_candidate() -> None:
    (group,) = scores(tiny.tiny_backbone("llama"), GROUPS[:1], tokens=True)
    for text, item in zip(GROUPS[0].candidates, group.candidates, strict=True):
        assert len(item.tokens) == item.n_tokens
        assert -sum(t.logprob for t in item.tokens) / item.n_tokens == pytest.approx(item.nll, abs=1e-6)
        assert "".join(t.text for t in item.tokens) == text.strip() + "<|turn|>"
    assert scores(tiny.tiny_backbone("llama"), GROUPS[:1])[0].candidates[0].tokens is None


def test_the_tail_is_the_mean_of_the_least_likely_fifth_rounded_up() -> None:
    (group,) = scores(tiny.tiny_backbone("llama"), GROUPS[:1], tokens=True)
    lengths = set()
    for item in group.candidates:
        worst = sorted(-t.logprob for t in item.tokens)[::-1][: math.ceil(0.2 * item.n_tokens)]
        assert item.nll_tail == pytest.approx(sum(worst) / len(worst), abs=1e-6) and item.nll_tail >= item.nll
        lengths.add(len(worst))
    assert 1 in lengths and max(lengths) > 2


def test_the_end_of_turn_can_be_left_out() -> None:
    backbone = tiny.tiny_backbone("llama")
    (with_end,) = scores(backbone, GROUPS[1:], tokens=True)[0].candidates
    (without,) = scores(backbone, GROUPS[1:], tokens=True, score_end_of_turn=False)[0].candidates
    assert without.n_tokens == with_end.n_tokens - 1
    assert [t.logprob for t in without.tokens] == pytest.approx([t.logprob for t in with_end.tokens[:-1]], abs=1e-5)


def test_hostile_candidates_are_data_and_cost_their_neighbours_nothing() -> None:
    backbone = tiny.tiny_backbone("llama")
    texts = ["42", "", " \n\t", "a\x00b\x00", "long " * 20_000, "z" * 100_000, "42<|turn|>", " 42 ", "é中🙂"]
    (group,) = scores(backbone, [Group(id="g", problem="Sum?\x00<|turn|><|start|>", candidates=texts)])
    items = dict(zip(texts, group.candidates, strict=True))
    for text, code in {"": "blank", " \n\t": "blank", "long " * 20_000: "too_long", "z" * 100_000: "too_long"}.items():
        assert isinstance(items[text], Failed)
        assert items[text].error.code == code and not items[text].error.retryable
    assert items["42"].nll == items[" 42 "].nll and not items["42"].control_tokens
    assert items["42<|turn|>"].control_tokens and items["42<|turn|>"].n_tokens > 3
    assert all(math.isfinite(items[t].nll) for t in ("42", "a\x00b\x00", "42<|turn|>", "é中🙂"))


def test_the_limit_holds_for_problem_and_candidate_together() -> None:
    backbone = tiny.tiny_backbone("llama")
    (fits,) = scores(backbone, GROUPS[1:])[0].candidates
    prefix = len(backbone.tokenizer(GROUPS[1].problem, add_special_tokens=False)["input_ids"])
    (refused,) = scores(backbone, GROUPS[1:], max_tokens=prefix + fits.n_tokens)[0].candidates
    assert isinstance(refused, Failed) and refused.error.code == "too_long"


class _FullDevice(torch.nn.Module):
    """Stands where the first layer's MLP stands and, like a device, refuses more than so many tokens at once."""

    def __init__(self, inner: torch.nn.Module, room: Callable[[], int]) -> None:
        super().__init__()
        self.inner, self.room = inner, room

    def forward(self, hidden: torch.Tensor) -> Any:
        if hidden.shape[0] * hidden.shape[1] > self.room():
            raise torch.OutOfMemoryError("no room")
        return self.inner(hidden)


def with_room_for(room: Callable[[], int]) -> Backbone:
    """room: asked at every call, since a scorer may work with a copy of the modules."""
    backbone = tiny.tiny_backbone("llama")
    body: Any = backbone.model.model
    body.layers[0].mlp = _FullDevice(body.layers[0].mlp, room)
    return backbone


def test_a_batch_that_does_not_fit_is_split() -> None:
    tight, roomy = scores(with_room_for(lambda: 150), GROUPS), scores(tiny.tiny_backbone("llama"), GROUPS)
    for mine, theirs in zip(tight, roomy, strict=True):
        assert [c.nll for c in mine.candidates] == pytest.approx([c.nll for c in theirs.candidates], abs=1e-5)


def test_a_candidate_that_does_not_fit_alone_fails_alone() -> None:
    group = GROUPS[0].model_copy(update={"candidates": GROUPS[0].candidates[:2]})
    room = [150]
    items = scored_after(lambda: room.insert(0, 58), with_room_for(lambda: room[0]), group)
    assert isinstance(items[0], NllScored)
    assert isinstance(items[1], Failed) and items[1].error.code == "out_of_memory" and items[1].error.retryable


def scored_after(change: Callable[[], object], backbone: Backbone, group: Group) -> Any:
    """The group's candidates, scored after something changed that was well when the scorer opened."""

    async def run() -> Any:
        scorer = BackboneNll(load=lambda: backbone, **SETTINGS)
        await scorer.open()
        change()
        try:
            return (await scorer.score([group]))[0].candidates
        finally:
            await scorer.close()

    return asyncio.run(run())


def test_an_error_on_one_candidate_leaks_no_text_and_stays_with_it() -> None:
    backbone = tiny.tiny_backbone("llama")
    poison = "therefore secret"
    (bad,) = backbone.tokenizer("§", add_special_tokens=False)["input_ids"][-1:]

    class Poisoned(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, ids: torch.Tensor) -> Any:
            if (ids == bad).any():
                raise ValueError(f"cannot look up {poison}")
            return self.inner(ids)

    body: Any = backbone.model.model
    body.embed_tokens = Poisoned(body.embed_tokens)
    group = Group(id="g", problem="Sum?", candidates=["42", f"§ {poison}", "43"])
    items = scores(backbone, [group])[0].candidates
    assert isinstance(items[0], NllScored) and isinstance(items[2], NllScored)
    assert items[1].error.code == "internal" and items[1].error.retryable
    assert poison not in items[1].error.message


def test_a_backbone_that_computes_no_number_gives_none() -> None:
    backbone = tiny.tiny_backbone("llama")
    (item,) = scored_after(lambda: backbone.model.model.norm.weight.fill_(math.nan), backbone, GROUPS[1])
    assert isinstance(item, Failed) and item.error.code == "not_finite"


def test_a_backbone_that_computes_no_number_from_the_start_is_refused() -> None:
    backbone = tiny.tiny_backbone("llama")
    backbone.model.model.norm.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="no finite"):
        scores(backbone, GROUPS[1:])


def test_trouble_of_the_whole_scorer_is_raised() -> None:
    backbone = tiny.tiny_backbone("llama")

    async def run() -> None:
        scorer = BackboneNll(load=lambda: backbone, **(SETTINGS | {"queue_tokens": 1, "batch_tokens": 64}))
        with pytest.raises(ScorerUnavailable):
            await scorer.score(GROUPS)
        await scorer.open()
        assert scorer.last_worked() is None
        with pytest.raises(InvalidRequest, match="problem"):
            await scorer.score([Group(id="g", candidates=["x"])])
        results = await asyncio.gather(*(scorer.score(GROUPS) for _ in range(8)), return_exceptions=True)
        assert any(isinstance(r, Overloaded) for r in results)
        assert any(not isinstance(r, BaseException) for r in results)
        assert scorer.last_worked() is not None
        await scorer.close()
        await scorer.close()
        with pytest.raises(ScorerUnavailable):
            await scorer.score(GROUPS)

    asyncio.run(run())
