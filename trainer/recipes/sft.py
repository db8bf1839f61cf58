"""The recipe of downstream SFT (paper §3.5, E.1): one YAML file that says everything a run depends on.

Promises: as `rewright.trainer.recipes.grpo`; defaults are the paper's values where it gives one. No torch here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, model_validator

from rewright.service.models.rendering import Rendering
from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.blocks import Backbone, Block, LayoutName, Lora
from rewright.trainer.recipes.loader import read_recipe


class SftData(Block):
    path: str = Field(
        min_length=1, description="What `rewright build` wrote, or any SFT set: a file, folder, glob or hub:owner/name."
    )
    layout: LayoutName | None = Field(None, description="Its layout by name; absent: told by the columns.")
    split: str = "train"
    rendering: Rendering | None = Field(
        None, description="How rows are rendered; absent: as build.json beside them says, else the defaults."
    )
    success_only: bool = Field(False, description="Leave out the rows that fell back to the reference.")
    max_tokens: int = Field(8192, ge=16, description="Prompt and response together; longer rows are left out.")


class SftTraining(Block):
    """AdamW; one update takes `batch` rows over all processes together."""

    batch: int = Field(128, ge=1)
    micro_batch: int = Field(4, ge=1, description="Rows of one forward and backward pass on one device.")
    learning_rate: float = Field(7e-6, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    epochs: float = Field(2.0, gt=0)
    max_steps: int | None = Field(None, ge=1, description="Stop after this many updates; absent: after `epochs`.")
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    loss: Literal["nll", "dft", "importance"] = Field("nll", description="See `rewright.trainer.sft.losses`.")
    ratio_bounds: tuple[NonNegativeFloat, NonNegativeFloat] | None = Field(
        None, description="loss importance: what the ratio is clipped to; absent: 0 and 2."
    )
    gradient_checkpointing: bool = True
    seed: int = 17

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.ratio_bounds is not None and self.loss != "importance":
            raise ValueError(f"loss {self.loss} has no ratio; leave ratio_bounds out, or set loss to importance")
        if self.ratio_bounds is not None and self.ratio_bounds[0] > self.ratio_bounds[1]:
            raise ValueError("ratio_bounds are [low, high]: low must not be above high")
        return self

    def accumulation(self, ranks: int) -> int:
        """Micro-batches of one update on each of `ranks` processes. Raises `RecipeError` where they do not divide."""
        if self.batch % (self.micro_batch * ranks):
            raise RecipeError(
                f"training.micro_batch: {self.micro_batch} rows on each of {ranks} processes do not divide "
                f"training.batch = {self.batch}; make batch a multiple of {self.micro_batch * ranks}"
            )
        return self.batch // (self.micro_batch * ranks)


class SftKeeping(Block):
    output: str = Field("runs/sft", description="The run folder.")
    save_steps: int = Field(50, ge=1)
    checkpoints: int = Field(1, ge=1, description="How many are kept.")
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)


class SftRecipe(Block):
    """lora: absent for full-parameter training."""

    kind: Literal["sft"] = "sft"
    backbone: Backbone = Backbone()
    data: SftData
    lora: Lora | None = None
    training: SftTraining = SftTraining()
    keeping: SftKeeping = SftKeeping()


def load_sft_recipe(source: str | Path, overrides: Sequence[str] = ()) -> SftRecipe:
    """Raises `RecipeError` naming every wrong key."""
    return read_recipe(SftRecipe, source, overrides)
