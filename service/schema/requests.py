"""What callers send: groups, options, and the rule of a reward."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, NonNegativeFloat, ValidationInfo, field_validator, model_validator

from rewright.service.schema.base import Asked
from rewright.service.schema.messages import Text

Variant = Literal["full", "no_dist", "no_div", "task_only", "soft"]
Reasoning = Literal["judge", "checks", "off"]
Dist = Literal["mean", "sum", "tail"]
# Written only where it is on, so that readers who are older than an option refuse no request without it.
Option = Annotated[bool, Field(exclude_if=lambda on: not on)]

MOST_SIMILAR = 256
"""Candidates of the largest group that similarities are given of,"""
MOST_SIMILARITIES = 1 << 19
"""and numbers of one answer, all its groups together: a small body must not make a huge answer."""


class Group(Asked):
    """The K candidates of one problem, S_x of arXiv 2602.11220."""

    id: str | None = Field(None, min_length=1, max_length=512, description="Unique in a request; absent: the index.")
    problem: str | None = Field(None, description="The question x. Needed by judge, nll and reward.")
    reference: str | None = Field(
        None,
        description="The expert solution y*. Needed by judge; by verify and reward where `answer` is absent.",
    )
    answer: str | None = Field(None, description="The gold final answer a*; absent: the final answer of `reference`.")
    # Told of its first wrong member alone: each error costs a hundred times what a small wrong member does.
    candidates: list[Text] = Field(
        min_length=1,
        fail_fast=True,
        description="K rewrites ỹ; K = 1 is allowed. Chat messages may stand for one (the last assistant text).",
    )
    feasible: list[bool] | None = Field(
        None, fail_fast=True, description="/v1/diversity: which candidates are members of S_x⁺; absent: all of them."
    )

    @model_validator(mode="after")
    def _one_flag_a_candidate(self) -> Self:
        if self.feasible is not None and len(self.feasible) != len(self.candidates):
            raise ValueError(
                f"feasible has {len(self.feasible)} entries for {len(self.candidates)} candidates; give one a candidate"
            )
        return self


class Guards(Asked):
    """Limits on the signals that shut the gate of a candidate past them (method: signals). Off unless set."""

    max_n_tokens: int | None = Field(None, ge=1)
    min_length_ratio: NonNegativeFloat | None = Field(None, allow_inf_nan=False)
    max_length_ratio: NonNegativeFloat | None = Field(None, allow_inf_nan=False)
    max_repeated: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_copied: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class Rule(Asked):
    """How components become `total` (eq. 3 and the paper's ablations)."""

    variant: Variant = "full"
    lambda_dist: FiniteFloat = Field(1.0, description="λ_dist of eq. 3.")
    lambda_div: FiniteFloat = Field(1.0, description="λ_div of eq. 3; r_div is small, so recipes set it from data.")
    dist: Dist = Field(
        "mean",
        description="What eq. 7 standardises: eq. 6; its sum; its mean over the least likely 20 % of the tokens.",
    )
    min_std: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Floor of σ_x in eq. 7, nats per token; with `dist: sum` nats."
    )
    reasoning: Reasoning = Field(
        "judge", description="Who decides v_rea: the judge; certain checks alone, no model; or nobody, v_rea = 1."
    )
    weights: dict[str, FiniteFloat] = Field(
        {}, description="Further scorers of one number per candidate, by name, and what each number counts in `total`."
    )
    skip_unused: bool = Field(False, description="Leave out components that `total` does not use.")
    guards: Guards = Guards()


class ScoreRequest(Asked):
    """The one body of all endpoints; what an endpoint does not need is optional there."""

    groups: list[Group] = Field(min_length=1, fail_fast=True)
    tokens: Option = Field(False, description="/v1/nll: add each scored token's text and log-probability.")
    similarities: Option = Field(
        False,
        description="/v1/diversity: add the cosine of each two candidates' embeddings; for groups of at most "
        f"{MOST_SIMILAR} candidates.",
    )
    rule: Rule = Field(Rule(), description="/v1/reward: how components become `total`.")

    @field_validator("groups")
    @classmethod
    def _ids_are_unique(cls, groups: list[Group]) -> list[Group]:
        seen: dict[str, int] = {}
        for index, group in enumerate(groups):
            name = group.id if group.id is not None else str(index)
            if name in seen:
                raise ValueError(
                    f"groups.{index}.id repeats the id of groups.{seen[name]} (an absent id is the group's index); "
                    "give every group its own id"
                )
            seen[name] = index
        return groups

    @field_validator("similarities")
    @classmethod
    def _not_too_many(cls, similarities: bool, others: ValidationInfo) -> bool:
        groups: list[Group] = others.data.get("groups", []) if similarities else []
        numbers = 0
        for index, group in enumerate(groups):
            size = len(group.candidates)
            numbers += size * size
            if size > MOST_SIMILAR:
                raise ValueError(
                    f"groups.{index} has {size} candidates, and similarities are given of at most {MOST_SIMILAR}; "
                    "make the group smaller, or leave similarities out"
                )
            if numbers > MOST_SIMILARITIES:
                raise ValueError(
                    f"the answer would hold {numbers} of them up to groups.{index}, more than {MOST_SIMILARITIES}; "
                    "send fewer groups per request, or leave similarities out"
                )
        return similarities

    def named_groups(self) -> list[Group]:
        """The groups with every absent id filled in by its index."""
        return [g if g.id is not None else g.model_copy(update={"id": str(i)}) for i, g in enumerate(self.groups)]
