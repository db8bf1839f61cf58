"""A recipe in TRL's words."""

from pathlib import Path
from typing import Any

import pytest

from rewright.trainer.grpo.trl_config import grpo_config
from rewright.trainer.recipes.grpo import load_recipe


def config(tmp_path: Path, *changes: str) -> Any:
    return grpo_config(load_recipe("grpo-small-cpu", ["corpus.sources.0.path=x.jsonl", *changes]), tmp_path, ranks=1)


@pytest.mark.parametrize("mode", ["server", "colocate"])
def test_no_long_response_is_masked_for_the_rounding_of_two_engines(mode: str, tmp_path: Path) -> None:
    made = config(tmp_path, "rollouts.engine=vllm", f"rollouts.vllm_mode={mode}", "backbone.device=auto")
    assert made.vllm_importance_sampling_correction
    assert made.vllm_importance_sampling_mode == "token_truncate"


def test_a_loss_that_is_not_finite_is_logged_as_it_is(tmp_path: Path) -> None:
    assert not config(tmp_path).logging_nan_inf_filter


def test_processes_wait_for_one_that_waits_for_the_service(tmp_path: Path) -> None:
    """Its patience may be spent twice in a step, for rewards and at a look; torch would give up after half an hour."""
    assert config(tmp_path, "reward.patience_s=5000.5").ddp_timeout > 2 * 5000.5
