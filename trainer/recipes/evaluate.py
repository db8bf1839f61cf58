"""The recipe of an evaluation: one YAML file that says everything its numbers depend on. No torch here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from rewright.service.models.rendering import Rendering
from rewright.trainer.recipes.blocks import Backbone, Block
from rewright.trainer.recipes.build import Generation, Service
from rewright.trainer.recipes.loader import read_recipe


class EvaluationPrompts(Block):
    """Shipped names or files; `{{question}}`, and `{{options}}` in the one for questions with options."""

    math: str = "evaluate-math-v1"
    choice: str = "evaluate-choice-v1"


class Drift(Block):
    """How far a model moved from the base run's, on the base run's own answers to general questions."""

    prompts: int = Field(64, ge=0, description="How many; 0 measures none.")
    max_tokens: int = Field(256, ge=1, description="Of each answer, from its beginning.")


class EvaluateRecipe(Block):
    """adapter: LoRA on top of the backbone; base: the folder of an evaluation of π0 on the same questions."""

    kind: Literal["evaluate"] = "evaluate"
    backbone: Backbone = Backbone()
    adapter: str | None = None
    rendering: Rendering | None = Field(
        None,
        description="How questions are rendered; absent: as rendering.json of the adapter or model says, else as the "
        "service renders.",
    )
    data: str = Field(min_length=1, description="JSONL: benchmark, subject, question, options, answer.")
    per_benchmark: int | None = Field(None, ge=1, description="Draw so many questions of each; absent: all.")
    seed: int = Field(17, description="Of that draw.")
    prompts: EvaluationPrompts = EvaluationPrompts()
    generation: Generation = Generation(max_tokens=4096)
    service: Service = Service()
    drift: Drift = Drift()
    base: str | None = None
    output: str = Field("runs/evaluate", min_length=1)


def load_evaluate_recipe(source: str | Path, overrides: Sequence[str] = ()) -> EvaluateRecipe:
    """Raises `RecipeError` naming every wrong key."""
    return read_recipe(EvaluateRecipe, source, overrides)
