"""choose: no way is taken unchecked, and what was passed over is told."""

import logging
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from rewright.service.models.backbone import Backbone
from rewright.service.models.errors import ModelError
from rewright.service.models.forward.choose import fastest_scorer
from rewright.service.models.forward.packing import Tree
from rewright.service.models.forward.reference import reference
from rewright.service.models.same_weights import same_weights
from tests.service.scorers import tiny_models as tiny

TREES = [Tree([5, 9, 12, 40], [[7, 8, 9, 10, 11], [300]]), Tree([6, 7], [[1, 2, 3]])]


def forgets_its_sinks(module: Any, *tensors: Any, s_aux: Any = None, **more: Any) -> Any:
    """A fused attention that takes an argument and does nothing with it, as they do."""
    return sdpa_attention_forward(module, *tensors, **more)


AttentionInterface.register("forgets_its_sinks", forgets_its_sinks)
AttentionMaskInterface.register("forgets_its_sinks", sdpa_mask)


def forgetful(dtype: torch.dtype) -> Backbone:
    made = tiny.tiny_backbone("gpt_oss")
    made.model.to(dtype)
    return replace(made, model=same_weights(made.model, attention="forgets_its_sinks"), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_attention_that_leaves_something_out_is_found_on_every_way(
    dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = forgetful(dtype)
    with caplog.at_level(logging.WARNING, logger="rewright.service.models.forward.choose"):
        scorer = fastest_scorer(backbone, batch_tokens=4096)
    (line,) = [record.getMessage() for record in caplog.records if record.name.endswith("forward.choose")]
    assert "runs shared, eager: packed cannot (NotImplementedError" in line
    assert "plain differs by" in line and "nats a token" in line and "allowed" in line
    wanted = reference(backbone.model, TREES)
    found = [one for each in scorer.score(TREES) for one in each]
    for mine, exact in zip(found, wanted.exact, strict=True):
        assert isinstance(mine, torch.Tensor)
        assert float((mine - exact).abs().mean()) <= max(1e-4, 3 * wanted.rounding)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_rounding_is_no_reason_to_pass_over_the_fastest_way(
    family: str, dtype: torch.dtype, caplog: pytest.LogCaptureFixture
) -> None:
    made = tiny.tiny_backbone(family)
    made.model.to(dtype)
    assert fastest_scorer(replace(made, dtype=dtype), batch_tokens=4096).way == "packed"
    assert not caplog.records


def test_the_reference_of_half_precision_is_float32_on_the_same_weights() -> None:
    made = tiny.tiny_backbone("llama")
    made.model.to(torch.bfloat16)
    found = reference(made.model, TREES)
    assert made.model.dtype == torch.bfloat16 and found.rounding > 1e-4
    wide = reference(made.model.float(), TREES)
    assert wide.rounding == 0.0
    for mine, theirs in zip(found.exact, wide.exact, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_model_that_never_says_the_same_twice_is_refused() -> None:
    made = tiny.tiny_backbone("llama")
    made.model.lm_head.register_forward_hook(lambda module, given, logits: logits + torch.randn_like(logits))
    with pytest.raises(ModelError, match="'tiny-llama' does not score a text alike twice"):
        fastest_scorer(made, batch_tokens=4096)
