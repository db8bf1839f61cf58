"""The recipe of Stage I: one YAML file that says everything a run depends on.

Promises: unknown keys, wrong types and settings that cannot work together are refused before anything is loaded, each
with the key's name and its fix; nothing is read from the environment. No torch here.

Not covered: whether models, data and service exist (`rewright.trainer.runs.preflight`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.blocks import Backbone, Block, Corpus, Lora, Prompt, Reward
from rewright.trainer.recipes.loader import read_recipe, shipped

SHIPPED = shipped("grpo")


class Rollouts(Block):
    """How candidates are sampled."""

    engine: Literal["transformers", "vllm"] = "transformers"
    vllm_mode: Literal["server", "colocate"] = "server"
    vllm_url: str = Field("http://127.0.0.1:8001", description="vllm_mode server: where `trl vllm-serve` listens.")
    vllm_gpu_share: float = Field(0.3, gt=0, lt=1, description="vllm_mode colocate: share of GPU memory.")
    vllm_tensor_parallel: int = Field(1, ge=1)
    max_tokens: int = Field(4096, ge=1, description="Longest response; truncated ones are scored like any other.")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)


class Training(Block):
    """GRPO. One update per step: prompts_per_step groups of group_size candidates each."""

    group_size: int = Field(10, ge=2, description="K.")
    prompts_per_step: int = Field(512, ge=1)
    micro_batch: int = Field(8, ge=1, description="Candidates of one forward and backward pass on one device.")
    learning_rate: float = Field(2e-5, gt=0, description="LoRA wants 1e-5 to 1e-4.")
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates; absent: after `epochs`.")
    clip: float = Field(0.2, gt=0)
    beta: float = Field(0.001, ge=0, description="Weight of the KL term against π0.")
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group", description="By group, λ_dist cancels where every member is feasible; none keeps it."
    )
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = "grpo"
    max_grad_norm: float = Field(1.0, gt=0)
    gradient_checkpointing: bool = True
    seed: int = 17

    def accumulation(self, ranks: int) -> int:
        """Micro-batches of one update on each of `ranks` processes.

        Raises `RecipeError` where a group would be torn apart: TRL checks divisibility over all ranks together only,
        and a reward function sees its own rank's slice.
        """
        if self.prompts_per_step % ranks:
            raise RecipeError(
                f"training.prompts_per_step: {self.prompts_per_step} groups do not divide over {ranks} processes, so "
                f"groups would be torn apart; use a multiple of {ranks}"
            )
        mine = self.prompts_per_step // ranks * self.group_size
        if mine % self.micro_batch:
            raise RecipeError(
                f"training.micro_batch: {self.micro_batch} does not divide the {mine} candidates of a step on each of "
                f"{ranks} processes (prompts_per_step * group_size / processes); use one of {_divisors(mine)}"
            )
        return mine // self.micro_batch


class Keeping(Block):
    """What is written down, and when."""

    output: str = Field("runs/grpo", description="The run folder.")
    save_steps: int = Field(10, ge=1)
    checkpoints: int = Field(3, ge=1, description="How many are kept.")
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    completions: bool = Field(False, description="Keep every candidate with its components, a Parquet file a step.")


class Watch(Block):
    """Looks at the policy on problems that it is not trained on (`watch.jsonl`, `watch/…`, `best/`)."""

    every: int = Field(10, ge=1, description="Steps between two looks.")
    problems: int = Field(64, ge=0, description="Of Stage II, rewritten greedily at each look; 0: no looks.")


class GrpoRecipe(Block):
    kind: Literal["grpo"] = "grpo"
    backbone: Backbone = Backbone()
    corpus: Corpus
    prompt: Prompt = Prompt()
    lora: Lora = Lora()
    reward: Reward = Reward()
    rollouts: Rollouts = Rollouts()
    training: Training = Training()
    watch: Watch = Watch()
    keeping: Keeping = Keeping()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rollouts.engine == "vllm" and self.backbone.device == "cpu":
            raise ValueError("rollouts.engine is vllm but backbone.device is cpu; use engine transformers there")
        return self

    def served_at(self, url: str) -> Self:
        """The same, with its service there."""
        return self.model_copy(update={"reward": self.reward.model_copy(update={"base_urls": (url,)})})


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> GrpoRecipe:
    """A recipe of Stage I; see `rewright.trainer.recipes.loader`. Raises `RecipeError` naming every wrong key."""
    return read_recipe(GrpoRecipe, source, overrides)


def _divisors(n: int) -> str:
    some = [d for d in range(1, min(n, 64) + 1) if n % d == 0]
    return ", ".join(map(str, some))
