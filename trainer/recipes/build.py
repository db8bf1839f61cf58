"""The recipe of a dataset build (paper §3.5, D): one YAML file that says everything its rows depend on.

Promises: as `rewright.trainer.recipes.grpo`; defaults are the paper's values where it gives one. No torch here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.blocks import Backbone, Block, Corpus, Prompt, Reward
from rewright.trainer.recipes.loader import read_recipe

Method = Literal["sft", "sdft", "mind_the_gap", "agent"]


class Service(Block):
    """Where candidates are checked and scored: a reward service with all four scorers."""

    base_urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    api_key_file: str | None = Field(None, description="A file that holds the key; keys have no place in a recipe.")
    patience_s: float = Field(1800.0, gt=0, description="How long the service may stay away before the build stops.")
    concurrency: int = Field(16, ge=1, description="Requests under way at once.")

    @field_validator("base_urls", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    def as_reward(self) -> Reward:
        """The same service in the words of Stage I, for `rewright.trainer.runs.preflight`."""
        return Reward(base_urls=self.base_urls, api_key_file=self.api_key_file, patience_s=self.patience_s)


class Generation(Block):
    """How candidates are written: greedily unless told otherwise."""

    engine: Literal["auto", "transformers", "vllm"] = "auto"
    batch_size: int = Field(32, ge=1, description="Prompts decoded together.")
    max_tokens: int = Field(8192, ge=1, description="Longest candidate.")
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 17


class BuildKeeping(Block):
    output: str = Field("runs/build", description="The dataset's folder.")
    format: Literal["jsonl", "parquet"] = "jsonl"


class BuildRecipe(Block):
    """adapter: the folder that Stage I left, for the method agent. Exactly one of corpus and corpus_folder."""

    kind: Literal["build"] = "build"
    method: Method
    success_only: bool = Field(False, description="Leave out the rows that fell back to the reference.")
    backbone: Backbone = Backbone()
    adapter: str | None = None
    corpus: Corpus | None = None
    corpus_folder: str | None = Field(None, description="A finished corpus, such as corpus/ of a Stage I run.")
    prompt: Prompt = Field(Prompt(), description="Rewriting; an adapter of Stage I brings its own.")
    solve_prompt: str = Field("solve-v1", description="mind_the_gap: how π0 is asked to solve the problem by itself.")
    service: Service = Service()
    generation: Generation = Generation()
    keeping: BuildKeeping = BuildKeeping()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.corpus is None) == (self.corpus_folder is None):
            raise ValueError("give either corpus (sources to read) or corpus_folder (a finished one), and not both")
        if self.method == "agent" and self.adapter is None:
            raise ValueError("method agent needs adapter, the folder adapter/ that `rewright train grpo` left")
        if self.method != "agent" and self.adapter is not None:
            raise ValueError(f"method {self.method} uses the backbone alone; leave adapter out, or use method agent")
        if self.method == "sft" and self.success_only:
            raise ValueError("method sft has no rewrites, so success_only would leave nothing")
        return self


class Shard(NamedTuple):
    """One of `parts` of a build, counted from 0."""

    part: int
    parts: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """`0/4` to `3/4`. Raises `RecipeError`."""
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 0 <= int(found[1]) < int(found[2]):
            raise RecipeError(f"--shard {text}: write it as i/n with i from 0 to n - 1, for instance 0/4")
        return cls(int(found[1]), int(found[2]))

    @property
    def folder(self) -> str:
        return f"{self.part}-of-{self.parts}"


def load_build_recipe(source: str | Path, overrides: Sequence[str] = ()) -> BuildRecipe:
    """Raises `RecipeError` naming every wrong key."""
    return read_recipe(BuildRecipe, source, overrides)
