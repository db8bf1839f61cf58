"""A run that moves nothing is told once; one that moves is not."""

import logging
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rewright.trainer.grpo.movement import STEPS, MovementWatch, adapter_share
from tests.service.scorers.tiny_models import tiny_model


def policy(size: float):
    model = get_peft_model(tiny_model("llama"), LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "up_proj"]))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(size)
    return model


def test_the_share_is_that_of_the_products():
    model = policy(0.01).requires_grad_(False)
    moved = whole = 0.0
    for module in model.modules():
        if hasattr(module, "lora_A"):
            delta = module.get_delta_weight("default")
            moved += float(delta.square().sum())
            whole += float(module.get_base_layer().weight.square().sum())
    assert adapter_share(model) == pytest.approx((moved / whole) ** 0.5, rel=1e-4)
    assert adapter_share(tiny_model("llama")) is None


@pytest.mark.parametrize(
    ("size", "kl", "first", "told"),
    [(0.0, 0.0, True, 1), (1e-7, 1e-5, True, 1), (0.05, 1e-5, True, 0), (1e-7, 0.01, True, 0), (0.0, 0.0, False, 0)],
)
def test_a_run_that_stands_still_is_told_once_and_by_one_process(size, kl, first, told, caplog):
    watch, model = MovementWatch(learning_rate=1e-6), policy(size)
    with caplog.at_level(logging.WARNING, logger="rewright.trainer.grpo.movement"):
        for step in range(1, STEPS + 5):
            state = SimpleNamespace(global_step=step, is_world_process_zero=first)
            watch.on_log(None, state, None, logs={"kl": kl})
            watch.on_step_end(None, state, None, model=model)
            assert len(caplog.records) == (told if step >= STEPS else 0)
    assert all("learning_rate 1.0e-06" in record.getMessage() for record in caplog.records)
