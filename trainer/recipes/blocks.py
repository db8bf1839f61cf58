"""Blocks that recipes of several stages share."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from rewright.clients.rows.layouts import LAYOUTS
from rewright.clients.wire import Guards
from rewright.service.models.defaults import EMBEDDED


def _known_layout(name: str) -> str:
    if name not in LAYOUTS:
        raise ValueError(f"there is no layout {name!r}; there are {', '.join(LAYOUTS)}")
    return name


LayoutName = Annotated[str, AfterValidator(_known_layout)]


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Backbone(Block):
    """π0, which LoRA is laid upon. It should be the model that the service scores with."""

    model: str = Field(EMBEDDED, min_length=1, description="Hub name, folder, .gguf or `embedded`.")
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"


class Source(Block):
    """One file, folder, glob or hub data set. Exactly one of `path` and `hub`."""

    path: str | None = Field(None, description="JSON, JSON lines, CSV, Parquet or Arrow; a folder or glob of them.")
    hub: str | None = Field(None, description="owner/name of a hub data set.")
    config: str | None = None
    split: str = "train"
    layout: LayoutName = Field("columns", description="A name of `rewright.clients.rows.layouts`.")
    problem: str | None = Field(None, description="The column that holds x (a dotted path), in place of the layout's.")
    solution: str | None = Field(None, description="… that holds y*.")
    answer: str | None = Field(None, description="… that holds a*. A layout without one reads it from y*.")
    limit: int | None = Field(None, ge=1, description="Read no more rows than this, from the beginning.")
    sample: int | None = Field(None, ge=1, description="Take so many rows at random (by corpus.seed), read all.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("a source needs either path (a file, folder or glob) or hub (owner/name), and not both")
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
    decontaminate: tuple[str, ...] = Field(
        (), description="Evaluation files (or hub:owner/name@test) whose questions no problem may share."
    )
    max_sample_tokens: int = Field(8192, ge=1, description="Problem and solution together, in π0's tokens.")
    max_solution_characters: int | None = Field(None, ge=1)
    check_golds: bool = Field(
        True, description="Ask the service's verifier whether each gold can be read and is what its own y* says."
    )
    max_gold_misses: float = Field(
        0.1, ge=0, le=1, description="Share of the given golds that their own y* may miss; those are left out."
    )


class Prompt(Block):
    file: str = Field("rewrite-v1", description="A prompt that ships with the trainer, or a file's path.")
    max_tokens: int = Field(2048, ge=16, description="Longest rendered prompt; longer samples are left out.")


class Lora(Block):
    r: int = Field(64, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: str | tuple[str, ...] = "all-linear"


Reasoning = Literal["judge", "checks", "off"]


class RewardRule(Block):
    """How the service makes `total` of the components (eq. 3 and its variants)."""

    variant: Literal["full", "no_dist", "no_div", "task_only", "soft"] = "full"
    lambda_dist: float = 1.0
    lambda_div: float = 1.0
    reasoning: Reasoning = Field(
        "judge", description="Who decides v_rea: the judge; certain checks alone, no model; or nobody."
    )
    weights: dict[str, float] = Field({}, description="Further scorers of the service and what each counts in total.")
    dist: Literal["mean", "sum", "tail"] = Field(
        "mean", description="Which NLL eq. 7 standardises: eq. 6, its sum, or its mean over the worst 20 % of tokens."
    )
    min_std: float = Field(0.0, ge=0, description="Floor of σ_x in eq. 7, nats per token; with dist: sum nats.")
    guards: Guards = Field(
        Guards(), description="Limits on the signals of reward hacking, e.g. {min_length_ratio: 0.2}."
    )

    def rule(self) -> dict[str, Any]:
        rule = self.model_dump(include={"variant", "lambda_dist", "lambda_div", "min_std"})
        rule |= {"weights": self.weights} if self.weights else {}
        rule |= {"dist": self.dist} if self.dist != "mean" else {}
        rule |= {"reasoning": self.reasoning} if self.reasoning != "judge" else {}
        guards = self.guards.model_dump(exclude_none=True)
        return rule | ({"guards": guards} if guards else {})


class Reward(RewardRule):
    """The service, and the rule of eq. 3."""

    base_urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    api_key_file: str | None = Field(None, description="A file that holds the key; keys have no place in a recipe.")
    whole_groups: bool = Field(False, description="A group with a failed member gives no reward at all.")
    patience_s: float = Field(1800.0, gt=0, description="How long the service may stay away before the run is ended.")

    @field_validator("base_urls", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value
