"""The recipe of a whole experiment: the blocks of the step's own recipes, each said once. No torch here.

Promises: as `rewright.trainer.recipes.grpo`; a dataset that needs a rewriter names one that the recipe trains.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from rewright.trainer.recipes.blocks import Backbone, Block, Corpus, Lora, Prompt, Reasoning, Reward
from rewright.trainer.recipes.build import (
    BuildKeeping,
    BuildRecipe,
    Generation,
    Method,
    Select,
    Service,
    check_select,
)
from rewright.trainer.recipes.evaluate import Drift, EvaluateRecipe, EvaluationPrompts
from rewright.trainer.recipes.grpo import GrpoRecipe, Keeping, Rollouts, Training, Watch
from rewright.trainer.recipes.loader import read_recipe
from rewright.trainer.recipes.sft import SftData, SftKeeping, SftRecipe, SftTraining


class Rewriter(Block):
    """One run of Stage I. reward: the rule alone; where the service is, `service` says."""

    lora: Lora = Lora()
    reward: Reward = Reward()
    rollouts: Rollouts = Rollouts()
    training: Training = Training()
    watch: Watch = Watch()
    save_steps: int = Field(10, ge=1)


class Dataset(Block):
    """One build. For the method agent either a rewriter that the recipe trains, or an adapter of an earlier Stage I run
    with the same backbone and the same share of Stage I, so that it was not trained on what it rewrites. The method
    select may have one too: K of its candidates to choose among, in place of π0's."""

    method: Method
    rewriter: str | None = None
    adapter: str | None = Field(None, description="The folder adapter/ of a Stage I run.")
    select: Select | None = Field(None, description="method select: K and its rule; absent: the defaults.")
    success_only: bool = Field(False, description="Train once more on the rewrites alone (Table 4, Figure 3).")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        check_select(self.method, self.select, has_rewriter=(self.rewriter or self.adapter) is not None)
        return self


class Sft(Block):
    lora: Lora | None = None
    training: SftTraining = SftTraining()
    max_tokens: int = Field(8192, ge=16)
    save_steps: int = Field(50, ge=1)


class Evaluation(Block):
    data: str = Field(min_length=1)
    per_benchmark: int | None = Field(None, ge=1)
    seed: int = 17
    prompts: EvaluationPrompts = EvaluationPrompts()
    generation: Generation = Generation(max_tokens=4096)
    drift: Drift = Drift()


class PipelineRecipe(Block):
    """sft, evaluate: null leaves the step out."""

    kind: str = Field("pipeline", pattern="^pipeline$")
    work: str = Field("runs/pipeline", min_length=1, description="Holds a folder a step, and the report.")
    backbone: Backbone = Backbone()
    corpus: Corpus
    prompt: Prompt = Prompt()
    solve_prompt: str = "solve-v1"
    guided_prompt: str = "guided-v1"
    reasoning: Reasoning = Field("judge", description="Who decides v_rea in builds; a rewriter's reward says its own.")
    service: Service = Service()
    rewriters: dict[str, Rewriter] = Field(default={}, description="By name; Stage I runs once for each.")
    datasets: dict[str, Dataset] = Field(min_length=1, description="By name; each is built, trained on, evaluated.")
    generation: Generation = Generation()
    sft: Sft | None = Sft()
    evaluate: Evaluation | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in (*self.rewriters, *self.datasets):
            if not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name!r} names a folder: letters, digits, - and _ alone")
        for name, dataset in self.datasets.items():
            if dataset.method not in ("agent", "select") and (dataset.rewriter or dataset.adapter) is not None:
                raise ValueError(f"datasets.{name}: only the methods agent and select have a rewriter or an adapter")
            if dataset.rewriter is not None and dataset.adapter is not None:
                raise ValueError(f"datasets.{name}: give either rewriter or adapter, and not both")
            if dataset.method == "agent" and (dataset.rewriter is None) == (dataset.adapter is None):
                raise ValueError(f"datasets.{name}: the method agent needs either rewriter or adapter, and not both")
            if dataset.rewriter is not None and dataset.rewriter not in self.rewriters:
                known = ", ".join(self.rewriters) or "none"
                raise ValueError(
                    f"datasets.{name}.rewriter must be one of rewriters ({known}), not {dataset.rewriter!r}"
                )
            if dataset.method == "sft" and dataset.success_only:
                raise ValueError(f"datasets.{name}: method sft has no rewrites, so success_only would leave nothing")
        return self

    def rewriter_recipe(self, name: str, *, output: Path) -> GrpoRecipe:
        r, s = self.rewriters[name], self.service
        where = {"base_urls": s.base_urls, "api_key_file": s.api_key_file, "patience_s": s.patience_s}
        return GrpoRecipe(
            backbone=self.backbone,
            corpus=self.corpus,
            prompt=self.prompt,
            lora=r.lora,
            reward=r.reward.model_copy(update=where),
            rollouts=r.rollouts,
            training=r.training,
            watch=r.watch,
            keeping=Keeping(output=str(output), save_steps=r.save_steps),
        )

    def build_recipe(self, name: str, *, output: Path, adapter: Path | None, corpus: Path | None) -> BuildRecipe:
        """corpus: a finished one, of a rewriter's run; None makes it anew from the same settings."""
        return BuildRecipe(
            method=self.datasets[name].method,
            backbone=self.backbone,
            adapter=str(adapter) if adapter is not None else None,
            corpus=self.corpus if corpus is None else None,
            corpus_folder=str(corpus) if corpus is not None else None,
            prompt=self.prompt,
            solve_prompt=self.solve_prompt,
            guided_prompt=self.guided_prompt,
            select=self.datasets[name].select,
            reasoning=self.reasoning,
            service=self.service,
            generation=self.generation,
            keeping=BuildKeeping(output=str(output)),
        )

    def sft_recipe(self, sft: Sft, *, data: SftData, output: Path) -> SftRecipe:
        return SftRecipe(
            backbone=self.backbone,
            data=data,
            lora=sft.lora,
            training=sft.training,
            keeping=SftKeeping(output=str(output), save_steps=sft.save_steps),
        )

    def evaluate_recipe(
        self, evaluation: Evaluation, *, trained: Path | None, base: Path | None, output: Path
    ) -> EvaluateRecipe:
        """trained: `adapter/` or `model/` of an SFT run; None for π0 itself."""
        lora = trained is not None and trained.name == "adapter"
        model = str(trained) if trained is not None and not lora else self.backbone.model
        return EvaluateRecipe(
            backbone=self.backbone.model_copy(update={"model": model}),
            adapter=str(trained) if lora else None,
            service=self.service,
            base=str(base) if base is not None else None,
            output=str(output),
            **dict(evaluation),
        )


def load_pipeline_recipe(source: str | Path, overrides: Sequence[str] = ()) -> PipelineRecipe:
    """Raises `RecipeError` naming every wrong key."""
    return read_recipe(PipelineRecipe, source, overrides)
