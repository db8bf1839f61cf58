"""A recipe in TRL's words: GRPOConfig, the reward function, the data set. Decides nothing of its own."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.clients.adapters.trl import RewardFunction
from rewright.clients.wire import Rule
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.models.policy import device_of, dtype_of
from rewright.trainer.recipes.grpo import GrpoRecipe, Rollouts
from rewright.trainer.runs.preflight import api_key

if TYPE_CHECKING:
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig


_PROCESSES_WAIT_S = 1800
"""torch's own patience of a process with the others."""


def grpo_config(recipe: GrpoRecipe, output: Path, *, ranks: int) -> "GRPOConfig":
    """One generation and one update per step, whole groups on every rank."""
    import torch
    from trl.trainer.grpo_config import GRPOConfig

    t, keeping = recipe.training, recipe.keeping
    return GRPOConfig(
        output_dir=str(output),
        num_generations=t.group_size,
        per_device_train_batch_size=t.micro_batch,
        gradient_accumulation_steps=t.accumulation(ranks),
        learning_rate=t.learning_rate,
        lr_scheduler_type=t.schedule,
        warmup_steps=t.warmup_steps,
        num_train_epochs=t.epochs,
        max_steps=t.max_steps or -1,
        epsilon=t.clip,
        beta=t.beta,
        scale_rewards=t.scale_rewards,
        loss_type=t.loss,
        mask_truncated_completions=False,
        max_grad_norm=t.max_grad_norm,
        gradient_checkpointing=t.gradient_checkpointing,
        seed=t.seed,
        max_completion_length=recipe.rollouts.max_tokens,
        temperature=recipe.rollouts.temperature,
        top_p=recipe.rollouts.top_p,
        use_cpu=device_of(recipe.backbone).type == "cpu",
        bf16=dtype_of(recipe.backbone) == torch.bfloat16,
        logging_steps=1,
        # Else a loss that is NaN is logged as 0.
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=keeping.save_steps,
        save_total_limit=keeping.checkpoints,
        report_to=list(keeping.report_to),
        # One process waits for the service, in its rewards and at a look, while the others wait for it.
        ddp_timeout=_PROCESSES_WAIT_S + 2 * math.ceil(recipe.reward.patience_s),
        log_completions=keeping.completions,
        num_completions_to_print=0,
        **_vllm(recipe.rollouts, window=recipe.prompt.max_tokens + recipe.rollouts.max_tokens),
    )


def reward_function(recipe: GrpoRecipe) -> RewardFunction:
    reward = recipe.reward
    return RewardFunction(
        list(reward.base_urls),
        num_generations=recipe.training.group_size,
        rule=Rule(**reward.rule()),
        whole_groups=reward.whole_groups,
        patience_s=reward.patience_s,
        api_key=api_key(reward),
    )


def data_set(samples: Sequence[Sample], prompt: Prompt) -> "Dataset":
    """Columns prompt (one user turn), problem, reference, answer."""
    from datasets import Dataset

    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": prompt.fill(problem=s.problem, solution=s.reference)}],
                "problem": s.problem,
                "reference": s.reference,
                "answer": s.answer,
            }
            for s in samples
        ]
    )


def _vllm(rollouts: Rollouts, *, window: int) -> dict[str, Any]:
    if rollouts.engine != "vllm":
        return {}
    # TRL's default leaves out whole responses whose ratio passes a bound, as that of thousands of tokens does by
    # rounding alone; here a token's weight is clipped (`rewright.trainer.grpo.clipped_share` logs how many).
    shared = {"use_vllm": True, "vllm_importance_sampling_mode": "token_truncate"}
    if rollouts.vllm_mode == "server":
        return {**shared, "vllm_mode": "server", "vllm_server_base_url": rollouts.vllm_url}
    return {
        **shared,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": rollouts.vllm_gpu_share,
        "vllm_tensor_parallel_size": rollouts.vllm_tensor_parallel,
        "vllm_max_model_length": window,
    }
