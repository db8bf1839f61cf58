"""The recipe of a dataset build (paper §3.5, D): one YAML file that says everything its rows depend on.

Promises: as `rewright.trainer.recipes.grpo`; defaults are the paper's values where it gives one. No torch here.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.blocks import Backbone, Block, Corpus, Prompt, Reasoning, Reward, RewardRule
from rewright.trainer.recipes.loader import read_recipe

Method = Literal["sft", "sdft", "mind_the_gap", "mind_the_gap_guided", "agent", "select"]


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

    def as_reward(self, rule: RewardRule | None = None) -> Reward:
        """The same service in the words of Stage I, for `rewright.trainer.runs.preflight`."""
        where = self.model_dump(include={"base_urls", "api_key_file", "patience_s"})
        return Reward(**where, **(dict(rule) if rule is not None else {}))


class Generation(Block):
    """How candidates are written: greedily unless told otherwise."""

    engine: Literal["auto", "transformers", "vllm"] = "auto"
    batch_size: int = Field(32, ge=1, description="Prompts decoded together.")
    max_tokens: int = Field(8192, ge=1, description="Longest candidate.")
    temperature: float = Field(0.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = 17


class Select(Block):
    """Best of K by the service's reward: what the method select writes, and by which rule it chooses."""

    k: int = Field(8, ge=2, description="Candidates a sample, all of one group of /v1/reward.")
    candidates: Literal["rewrites", "self_solves", "both"] = Field(
        "rewrites", description="What they are; both: half of each, and of an odd K one rewrite more."
    )
    temperature: float = Field(1.0, gt=0, description="In place of generation.temperature: a greedy model writes one.")
    top_p: float = Field(1.0, gt=0, le=1)
    rule: RewardRule = Field(RewardRule(), description="What `total` is made of.")

    @property
    def rewrites(self) -> int:
        return {"rewrites": self.k, "self_solves": 0, "both": self.k - self.k // 2}[self.candidates]


def check_select(method: Method, select: Select | None, *, has_rewriter: bool) -> None:
    """Raises `ValueError` where the block select says what cannot be done."""
    if method != "select" and select is not None:
        raise ValueError(f"method {method} chooses among nothing; leave select out, or use method select")
    if has_rewriter and select is not None and select.candidates != "rewrites":
        raise ValueError(
            f"select.candidates = {select.candidates}: a rewriter only rewrites; use rewrites, or leave it out"
        )


class BuildKeeping(Block):
    output: str = Field("runs/build", description="The dataset's folder.")
    format: Literal["jsonl", "parquet"] = "jsonl"


class BuildRecipe(Block):
    """adapter: the folder that Stage I left, for the method agent, and for select where a rewriter's candidates are
    chosen among. Exactly one of corpus and corpus_folder."""

    kind: Literal["build"] = "build"
    method: Method
    success_only: bool = Field(False, description="Leave out the rows that fell back to the reference.")
    backbone: Backbone = Backbone()
    adapter: str | None = None
    corpus: Corpus | None = None
    corpus_folder: str | None = Field(None, description="A finished corpus, such as corpus/ of a Stage I run.")
    prompt: Prompt = Field(Prompt(), description="Rewriting; an adapter of Stage I brings its own.")
    solve_prompt: str = Field("solve-v1", description="How π0 is asked to solve the problem by itself.")
    guided_prompt: str = Field("guided-v1", description="How it is asked to solve it with the reference as a hint.")
    select: Select | None = Field(None, description="method select: K and its rule; absent: the defaults.")
    reasoning: Reasoning = Field(
        "judge", description="Who decides v_rea, as in a rule of Stage I; a select.rule that says so itself goes first."
    )
    service: Service = Service()
    generation: Generation = Generation()
    keeping: BuildKeeping = BuildKeeping()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.corpus is None) == (self.corpus_folder is None):
            raise ValueError("give either corpus (sources to read) or corpus_folder (a finished one), and not both")
        if self.method == "agent" and self.adapter is None:
            raise ValueError("method agent needs adapter, the folder adapter/ that `rewright train grpo` left")
        if self.method not in ("agent", "select") and self.adapter is not None:
            raise ValueError(f"method {self.method} uses the backbone alone; leave adapter out, or use method agent")
        check_select(self.method, self.select, has_rewriter=self.adapter is not None)
        if self.method == "sft" and self.success_only:
            raise ValueError("method sft has no rewrites, so success_only would leave nothing")
        return self

    @property
    def selecting(self) -> Select | None:
        """What is chosen among, and how; None for the other methods."""
        return (self.select or Select()) if self.method == "select" else None

    @property
    def rule(self) -> RewardRule:
        """What candidates pass and are weighed by."""
        rule = self.selecting.rule if self.selecting else RewardRule()
        return rule if "reasoning" in rule.model_fields_set else rule.model_copy(update={"reasoning": self.reasoning})


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
