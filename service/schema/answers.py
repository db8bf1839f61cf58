"""What is told of groups, and of a whole request: results, who computed them, or an error."""

from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from rewright.service.schema.base import Cosine, Count, Diversity, NllSum, Told
from rewright.service.schema.items import (
    AnyScored,
    DiversityScored,
    Failed,
    JudgeScored,
    NllScored,
    RewardFailed,
    RewardScored,
    VerifyScored,
)
from rewright.service.schema.requests import Guards, Rule

Item = TypeVar("Item")
_Verify = Annotated[VerifyScored | Failed, Field(discriminator="status")]
_Judge = Annotated[JudgeScored | Failed, Field(discriminator="status")]
_Nll = Annotated[NllScored | Failed, Field(discriminator="status")]
_Diversity = Annotated[DiversityScored | Failed, Field(discriminator="status")]
_Any = Annotated[AnyScored | Failed, Field(discriminator="status")]
_Reward = Annotated[RewardScored | RewardFailed, Field(discriminator="status")]


class GroupScores(Told, Generic[Item]):
    """One result per candidate, in the order of the request."""

    id: str
    candidates: list[Item]


class VerifyGroup(GroupScores[_Verify]):
    pass


class JudgeGroup(GroupScores[_Judge]):
    pass


class NllGroup(GroupScores[_Nll]):
    pass


class DiversityGroup(GroupScores[_Diversity]):
    diversity: Diversity | None = Field(
        description="D(S_x⁺) of eq. 10; 0 for fewer than two members, null if none scored."
    )
    similarities: list[list[Cosine | None] | None] | None = Field(
        None,
        exclude_if=lambda similarities: similarities is None,
        description="Where asked for: K rows of K cosines of two embeddings each; null for a candidate that is no "
        "member or was not embedded, in place of its row and in the rows of the others.",
    )

    @model_validator(mode="after")
    def _one_row_a_candidate(self) -> Self:
        count = len(self.candidates)
        rows = self.similarities if self.similarities is not None else [None] * count
        if len(rows) != count or any(len(row) != count for row in rows if row is not None):
            raise ValueError(f"similarities must be {count} rows of {count} numbers")
        return self


class AnyGroup(GroupScores[_Any]):
    """The result of a scorer that the reader does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)


class RewardGroup(GroupScores[_Reward]):
    feasible: Count = Field(description="m = |S_x⁺|.")
    failed: Count = Field(description="Candidates without a reward.")
    nll_mean: NllSum | None = Field(
        description="μ_x of eq. 7 over the members, of what `rule.dist` says; null where there are none."
    )
    nll_std: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = Field(
        description="σ_x of eq. 7 (population), before the floor `min_std`."
    )
    diversity: Diversity | None = Field(description="D(S_x⁺) of eq. 10.")


GroupResult = TypeVar("GroupResult")


def _known_of_rule(told: Any) -> Any:
    """A rule told by a newer service, without what is unknown here."""
    if not isinstance(told, dict):
        return told
    known = {name: value for name, value in told.items() if name in Rule.model_fields}
    if isinstance(guards := known.get("guards"), dict):
        known["guards"] = {name: value for name, value in guards.items() if name in Guards.model_fields}
    return known


class ServedBy(Told):
    """Who computed it, so that a number can be traced: version, rule (for /v1/reward) and models."""

    version: str
    wire: int = Field(0, description="Version of the wire language; 0 where the service is older than this field.")
    rule: Annotated[Rule, BeforeValidator(_known_of_rule)] | None = None
    scorers: dict[str, dict[str, Any]]


class Answer(Told, Generic[GroupResult]):
    groups: list[GroupResult]
    served_by: ServedBy


class RewardAnswer(Answer[RewardGroup]):
    pass


class ErrorBody(Told):
    """`detail`, for a 422: the places that were wrong, each with its fix."""

    code: str
    message: str
    retryable: bool
    detail: Any = None


class ErrorAnswer(Told):
    """The one shape of every answer that is not a 200."""

    error: ErrorBody
