"""The recipe of Stage I: one YAML file that says everything a run depends on.

Promises: unknown keys, wrong types and settings that cannot work together are refused before anything is loaded, each
with the key's name and its mend; nothing is read from the environment. No torch here.

Not covered: whether models, data and service exist (`trainer.preflight`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from clients.wire import Guards
from trainer.errors import RecipeError
from trainer.recipe_file import read_recipe, shipped

EMBEDDED = "embedded"
SHIPPED = shipped("grpo")

Layout = Literal["columns", "numina_math_cot", "open_math_reasoning"]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Backbone(Block):
    """π0, which LoRA is laid upon. It should be the model that the service scores with."""

    model: str = Field(EMBEDDED, min_length=1, description="Hub name, folder, .gguf or `embedded`.")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"


class Source(Block):
    """One file or hub data set. Exactly one of `path` and `hub`."""

    path: str | None = Field(None, description="JSONL or Parquet.")
    hub: str | None = Field(None, description="owner/name of a hub data set.")
    config: str | None = None
    split: str = "train"
    layout: Layout = "columns"
    problem: str = Field("problem", description="layout columns: the name of the column that holds x.")
    solution: str = Field("solution", description="layout columns: … that holds y*.")
    answer: str | None = Field(None, description="layout columns: … that holds a*; absent: it is read from y*.")
    limit: int | None = Field(None, ge=1, description="Read no more rows than this.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("a source needs either path (JSONL, Parquet) or hub (owner/name), and not both")
        return self

    @property
    def name(self) -> str:
        return self.hub or Path(self.path or "").name


class Corpus(Block):
    """Which samples there are, which are left out for every method alike, and how many are drawn."""

    sources: tuple[Source, ...] = Field(min_length=1)
    draw: int | None = Field(None, ge=2, description="Samples drawn, both stages together; absent: all.")
    stage_one_share: float = Field(0.5, ge=0, le=1)
    seed: int = 17
    max_sample_tokens: int = Field(8192, ge=1, description="Problem and solution together, in π0's tokens.")
    max_solution_characters: int | None = Field(None, ge=1)
    check_golds: bool = Field(True, description="Ask the service's verifier whether each gold answer can be read.")


class Prompt(Block):
    file: str = Field("rewrite-v1", description="A prompt that ships with the trainer, or a file's path.")
    max_tokens: int = Field(2048, ge=16, description="Longest rendered prompt; longer samples are left out.")


class Lora(Block):
    r: int = Field(64, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | tuple[str, ...] = "all-linear"


class Reward(Block):
    """The service, and the rule of eq. 3."""

    base_urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    api_key_file: str | None = Field(None, description="A file that holds the key; keys have no place in a recipe.")
    variant: Literal["full", "no_dist", "no_div", "task_only", "soft"] = "full"
    lambda_dist: float = 1.0
    lambda_div: float = 1.0
    min_std: float = Field(0.0, ge=0, description="Floor of σ_x in eq. 7, nats per token.")
    guards: Guards = Field(
        Guards(), description="Limits on the signals of reward hacking, e.g. {min_length_ratio: 0.2}."
    )
    whole_groups: bool = Field(False, description="A group with a failed member gives no reward at all.")
    patience_s: float = Field(1800.0, gt=0, description="How long the service may stay away before the run is ended.")

    @field_validator("base_urls", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def rule(self) -> dict[str, Any]:
        rule = self.model_dump(include={"variant", "lambda_dist", "lambda_div", "min_std"})
        guards = self.guards.model_dump(exclude_none=True)
        return rule | ({"guards": guards} if guards else {})


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
    """GRPO. One update a step: prompts_per_step groups of group_size candidates each."""

    group_size: int = Field(10, ge=2, description="K.")
    prompts_per_step: int = Field(512, ge=1)
    micro_batch: int = Field(8, ge=1, description="Candidates of one forward and backward pass on one device.")
    learning_rate: float = Field(1e-6, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates; absent: after `epochs`.")
    clip: float = Field(0.2, gt=0)
    beta: float = Field(0.001, ge=0, description="Weight of the KL term against π0.")
    scale_rewards: Literal["group", "batch", "none"] = "group"
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


class GrpoRecipe(Block):
    kind: Literal["grpo"] = "grpo"
    backbone: Backbone = Backbone()
    corpus: Corpus
    prompt: Prompt = Prompt()
    lora: Lora = Lora()
    reward: Reward = Reward()
    rollouts: Rollouts = Rollouts()
    training: Training = Training()
    keeping: Keeping = Keeping()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.rollouts.engine == "vllm" and self.backbone.device == "cpu":
            raise ValueError("rollouts.engine is vllm but backbone.device is cpu; use engine transformers there")
        return self


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> GrpoRecipe:
    """A recipe of Stage I; see `trainer.recipe_file`. Raises `RecipeError` naming every wrong key."""
    return read_recipe(GrpoRecipe, source, overrides)


def _divisors(n: int) -> str:
    some = [d for d in range(1, min(n, 64) + 1) if n % d == 0]
    return ", ".join(map(str, some))
