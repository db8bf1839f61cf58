"""The wire language: what goes in and comes out of every endpoint. pydantic only.

One body serves all scoring endpoints (`ScoreRequest`); each answers the same groups in the same order with one
result a candidate in the same order, never an echo of the texts. A candidate that could not be scored is `Failed`:
data, with a code, and never a number.

Every number of a result is finite and in its range, so that reading an answer refuses what no score can be. Whoever
writes is held to it by the same models: a scorer whose number is out of range answers `Failed`, code `not_finite`.

Readers ignore fields that they do not know, on every level of an answer, so that either side may be the newer one; a
request is held to the fields there are. What is added raises `WIRE`, which answers tell; what would change or take away
a field needs another path than `/v1`. An unknown status, verdict or gate is refused.

Not covered here: what a number means (`rewright.service.reward.rule`), how failures of whole requests read
(`rewright.service.errors`).
"""

from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeFloat,
    field_validator,
    model_validator,
)

Variant = Literal["full", "no_dist", "no_div", "task_only", "soft"]
Gate = Literal[
    "open",
    "wrong",
    "no_answer",
    "undecided",
    "invalid",
    "no_verdict",
    "too_long",
    "control_tokens",
    "blank",
    "guard_n_tokens",
    "guard_length_ratio",
    "guard_repeated",
    "guard_copied",
]
AnswerVerdict = Literal["correct", "wrong", "no_answer", "undecided"]
JudgeVerdict = Literal["valid", "invalid", "no_verdict"]

LARGEST_SCORE = 1e12
"""No number of a further scorer is larger, whichever its sign,"""
LARGEST_TOTAL = 1e15
"""and no total: float32 holds its square, which deviations of a group are made of."""
NOT_FINITE = "not_finite"
"""Code of a candidate whose number is no number, or out of the range that such a number has."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# In [0, 1] but for what embeddings of unit length are off by.
Diversity = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6, allow_inf_nan=False)]
# A mean log-probability may be above 0 by what a forward pass rounds, and no model's is below by so much.
Nll = Annotated[float, Field(ge=-0.01, le=1e6, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE, allow_inf_nan=False)]
Total = Annotated[float, Field(ge=-LARGEST_TOTAL, le=LARGEST_TOTAL, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


WIRE = 1
"""Version of this language: raised when a field is added to it."""


class _Asked(BaseModel):
    """What a caller sends: a field that is unknown is a mistake of theirs, and is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Told(BaseModel):
    """What a service answers: it may be newer than its reader."""

    model_config = ConfigDict(extra="ignore", frozen=True)


# --- requests ---------------------------------------------------------------------------------------------------------


class Group(_Asked):
    """The K candidates of one problem, S_x of arXiv 2602.11220."""

    id: str | None = Field(None, min_length=1, max_length=512, description="Unique in a request; absent: the index.")
    problem: str | None = Field(None, description="The question x. Needed by judge, nll and reward.")
    reference: str | None = Field(
        None,
        description="The expert solution y*. Needed by judge; by verify and reward where `answer` is absent.",
    )
    answer: str | None = Field(None, description="The gold final answer a*; absent: the final answer of `reference`.")
    # Told of its first wrong member alone: each error costs a hundred times what a small wrong member does.
    candidates: list[str] = Field(min_length=1, fail_fast=True, description="K rewrites ỹ; K = 1 is allowed.")
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


class Guards(_Asked):
    """Limits on the signals that shut the gate of a candidate past them (method: signals). Off unless set."""

    max_n_tokens: int | None = Field(None, ge=1)
    min_length_ratio: NonNegativeFloat | None = Field(None, allow_inf_nan=False)
    max_length_ratio: NonNegativeFloat | None = Field(None, allow_inf_nan=False)
    max_repeated: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    max_copied: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class Rule(_Asked):
    """How components become `total` (eq. 3 and the paper's ablations)."""

    variant: Variant = "full"
    lambda_dist: FiniteFloat = Field(1.0, description="λ_dist of eq. 3.")
    lambda_div: FiniteFloat = Field(1.0, description="λ_div of eq. 3; r_div is small, so recipes set it from data.")
    min_std: float = Field(0.0, ge=0, allow_inf_nan=False, description="Floor of σ_x in eq. 7, nats per token.")
    weights: dict[str, FiniteFloat] = Field(
        {}, description="Further scorers of one number per candidate, by name, and what each number counts in `total`."
    )
    skip_unused: bool = Field(False, description="Leave out components that `total` does not use.")
    guards: Guards = Guards()


class ScoreRequest(_Asked):
    """The one body of all endpoints; what an endpoint does not need is optional there."""

    groups: list[Group] = Field(min_length=1, fail_fast=True)
    tokens: bool = Field(False, description="/v1/nll: add each scored token's text and log-probability.")
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

    def named_groups(self) -> list[Group]:
        """The groups with every absent id filled in by its index."""
        return [g if g.id is not None else g.model_copy(update={"id": str(i)}) for i, g in enumerate(self.groups)]


# --- results per candidate --------------------------------------------------------------------------------------------


class ItemError(_Told):
    """Why one candidate has no score. `retryable`: the same group may be scored when sent again whole."""

    code: str
    message: str
    retryable: bool


class Failed(_Told):
    """A candidate without a score. It has no number: failure is never 0.0."""

    status: Literal["failed"] = "failed"
    error: ItemError

    @classmethod
    def because(cls, code: str, message: str, *, retryable: bool) -> Self:
        return cls(error=ItemError(code=code, message=message, retryable=retryable))


class VerifyScored(_Told):
    """v_ans of eq. 4: `correct` is true exactly for the verdict `correct`."""

    status: Literal["scored"] = "scored"
    correct: bool
    verdict: AnswerVerdict
    extracted: str | None = Field(None, description="The final answer as found in the candidate.")


class JudgeScored(_Told):
    """v_rea of eq. 4: `valid` is true exactly for the verdict `valid`."""

    status: Literal["scored"] = "scored"
    valid: bool
    score: Share | None = Field(None, description="P(valid) where the judge gives one, in [0, 1].")
    verdict: JudgeVerdict
    rationale: str | None = None


class TokenLogprob(_Told):
    """One scored token: its text and log π0(token | x, tokens before it), in nats."""

    text: str
    logprob: float = Field(ge=-1e6, le=0.01, allow_inf_nan=False)


class NllScored(_Told):
    """ℓ_dist of eq. 6, in nats per token."""

    status: Literal["scored"] = "scored"
    nll: Nll
    n_tokens: int = Field(
        ge=1, description="Scored tokens of π0's tokenizer, the end of turn counted where it is scored."
    )
    control_tokens: bool = Field(
        False, description="The candidate's text spells a control token of π0; it was scored as ordinary text."
    )
    tokens: list[TokenLogprob] | None = Field(None, exclude_if=lambda tokens: tokens is None)


class DiversityScored(_Told):
    """r_div of eq. 12; null for a candidate outside S_x⁺."""

    status: Literal["scored"] = "scored"
    r_div: Diversity | None
    windows: Count | None = Field(None, description="How many embedder windows the text needed; null if not embedded.")


class ScalarScored(_Told):
    """One number per candidate: what further scorers answer, and what `Rule.weights` may count."""

    status: Literal["scored"] = "scored"
    score: Score


class AnyScored(_Told):
    """A scored candidate of a scorer that the reader does not know: whatever it says is kept as it came.

    score: its number, where it is a scorer of one number per candidate.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    status: Literal["scored"] = "scored"
    score: Score | None = None


class Signals(_Told):
    """What to watch for reward hacking. Counted in words and punctuation marks of the text itself, so that the numbers
    are the same whatever the backbone and come with every candidate, whether or not it passed the gate."""

    n_tokens: Count = Field(description="Words and punctuation marks.")
    length_ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        description="n_tokens over that of the reference; null without a reference."
    )
    repeated: Share = Field(description="Share of 8-grams that occurred earlier in the candidate, in [0, 1].")
    copied: Share | None = Field(description="Share of 8-grams that stand in the reference too; null without one.")


class Components(_Told):
    """Everything that `total` is made of, and null for what was not computed."""

    r_task: Literal[0, 1] | None = None
    v_ans: Literal[0, 1] | None = None
    v_rea: Literal[0, 1] | None = None
    nll: Nll | None = Field(None, description="eq. 6, nats per token.")
    nll_z: FiniteFloat | None = Field(None, description="eq. 7.")
    r_dist: Share | None = Field(None, description="eq. 8, in (0, 1).")
    r_div: Diversity | None = Field(None, description="eq. 12, in [0, 1].")
    scores: dict[str, Score] = Field(
        {}, description="Numbers of the further scorers in `rule.weights`.", exclude_if=lambda scores: not scores
    )
    signals: Signals


class _Rewarded(_Told):
    status: Literal["scored"] = "scored"
    total: Total = Field(description="eq. 3.")
    gate: Gate


class _Unrewarded(_Told):
    status: Literal["failed"] = "failed"
    total: None = None
    gate: None = None
    error: ItemError


# The base that stands last gives the first fields: what a reader looks for comes before what it is made of.
class RewardScored(Components, _Rewarded):
    """A candidate with a reward. `gate` is `open`, or the reason why r_task is 0."""


class RewardFailed(Components, _Unrewarded):
    """A candidate without a reward, with the components that were computed. Trainers must read it as "no reward"."""


# --- results per group ------------------------------------------------------------------------------------------------

Item = TypeVar("Item")
_Verify = Annotated[VerifyScored | Failed, Field(discriminator="status")]
_Judge = Annotated[JudgeScored | Failed, Field(discriminator="status")]
_Nll = Annotated[NllScored | Failed, Field(discriminator="status")]
_Diversity = Annotated[DiversityScored | Failed, Field(discriminator="status")]
_Any = Annotated[AnyScored | Failed, Field(discriminator="status")]
_Reward = Annotated[RewardScored | RewardFailed, Field(discriminator="status")]


class GroupScores(_Told, Generic[Item]):
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


class AnyGroup(GroupScores[_Any]):
    """The result of a scorer that the reader does not know."""

    model_config = ConfigDict(extra="allow", frozen=True)


class RewardGroup(GroupScores[_Reward]):
    feasible: Count = Field(description="m = |S_x⁺|.")
    failed: Count = Field(description="Candidates without a reward.")
    nll_mean: Nll | None = Field(description="μ_x of eq. 7 over the members; null where there are none.")
    nll_std: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = Field(
        description="σ_x of eq. 7 (population), before the floor `min_std`."
    )
    diversity: Diversity | None = Field(description="D(S_x⁺) of eq. 10.")


# --- answers ----------------------------------------------------------------------------------------------------------

GroupResult = TypeVar("GroupResult")


def _known_of_rule(told: Any) -> Any:
    """A rule told by a newer service, without what is unknown here."""
    if not isinstance(told, dict):
        return told
    known = {name: value for name, value in told.items() if name in Rule.model_fields}
    if isinstance(guards := known.get("guards"), dict):
        known["guards"] = {name: value for name, value in guards.items() if name in Guards.model_fields}
    return known


class ServedBy(_Told):
    """Who computed it, so that a number can be traced: version, rule (for /v1/reward) and models."""

    version: str
    wire: int = Field(0, description="Version of the wire language; 0 where the service is older than this field.")
    rule: Annotated[Rule, BeforeValidator(_known_of_rule)] | None = None
    scorers: dict[str, dict[str, Any]]


class Answer(_Told, Generic[GroupResult]):
    groups: list[GroupResult]
    served_by: ServedBy


class RewardAnswer(Answer[RewardGroup]):
    pass


class ErrorBody(_Told):
    """`detail`, for a 422: the places that were wrong, each with its fix."""

    code: str
    message: str
    retryable: bool
    detail: Any = None


class ErrorAnswer(_Told):
    """The one shape of every answer that is not a 200."""

    error: ErrorBody
