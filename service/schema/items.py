"""What is told of one candidate: scored by each scorer, or `Failed`; and its reward with all that it is made of."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat

from rewright.service.schema.base import Count, Diversity, Nll, NllSum, Score, Share, Told, Total

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


class ItemError(Told):
    """Why one candidate has no score. `retryable`: the same group may be scored when sent again whole."""

    code: str
    message: str
    retryable: bool


class Failed(Told):
    """A candidate without a score. It has no number: failure is never 0.0."""

    status: Literal["failed"] = "failed"
    error: ItemError

    @classmethod
    def because(cls, code: str, message: str, *, retryable: bool) -> Self:
        return cls(error=ItemError(code=code, message=message, retryable=retryable))


class VerifyScored(Told):
    """v_ans of eq. 4: `correct` is true exactly for the verdict `correct`."""

    status: Literal["scored"] = "scored"
    correct: bool
    verdict: AnswerVerdict
    extracted: str | None = Field(None, description="The final answer as found in the candidate.")


class JudgeScored(Told):
    """v_rea of eq. 4: `valid` is true exactly for the verdict `valid`."""

    status: Literal["scored"] = "scored"
    valid: bool
    score: Share | None = Field(None, description="P(valid) where the judge gives one, in [0, 1].")
    verdict: JudgeVerdict
    rationale: str | None = None


class TokenLogprob(Told):
    """One scored token: its text and log π0(token | x, tokens before it), in nats."""

    text: str
    logprob: float = Field(ge=-1e6, le=0.01, allow_inf_nan=False)


class NllScored(Told):
    """ℓ_dist of eq. 6, in nats per token."""

    status: Literal["scored"] = "scored"
    nll: Nll
    n_tokens: int = Field(
        ge=1, description="Scored tokens of π0's tokenizer, the end of turn counted where it is scored."
    )
    nll_tail: Nll | None = Field(
        None, description="The same over the least likely 20 % of the tokens; null from services older than the field."
    )
    control_tokens: bool = Field(
        False, description="The candidate's text spells a control token of π0; it was scored as ordinary text."
    )
    tokens: list[TokenLogprob] | None = Field(None, exclude_if=lambda tokens: tokens is None)


class DiversityScored(Told):
    """r_div of eq. 12; null for a candidate outside S_x⁺."""

    status: Literal["scored"] = "scored"
    r_div: Diversity | None
    windows: Count | None = Field(None, description="How many embedder windows the text needed; null if not embedded.")


class ScalarScored(Told):
    """One number per candidate: what further scorers answer, and what `Rule.weights` may count."""

    status: Literal["scored"] = "scored"
    score: Score


class AnyScored(Told):
    """A scored candidate of a scorer that the reader does not know: whatever it says is kept as it came.

    score: its number, where it is a scorer of one number per candidate.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    status: Literal["scored"] = "scored"
    score: Score | None = None


class Signals(Told):
    """What to watch for reward hacking. Counted in words and punctuation marks of the text itself, so that the numbers
    are the same whatever the backbone and come with every candidate, whether or not it passed the gate."""

    n_tokens: Count = Field(description="Words and punctuation marks.")
    length_ratio: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        description="n_tokens over that of the reference; null without a reference."
    )
    repeated: Share = Field(description="Share of 8-grams that occurred earlier in the candidate, in [0, 1].")
    copied: Share | None = Field(description="Share of 8-grams that stand in the reference too; null without one.")


class Components(Told):
    """Everything that `total` is made of, and null for what was not computed."""

    r_task: Literal[0, 1] | None = None
    v_ans: Literal[0, 1] | None = None
    v_rea: Literal[0, 1] | None = None
    nll: Nll | None = Field(None, description="eq. 6, nats per token.")
    nll_dist: NllSum | None = Field(
        None,
        description="What eq. 7 standardises in place of `nll`, where `rule.dist` is `sum` (nats) or `tail`.",
        exclude_if=lambda nll_dist: nll_dist is None,
    )
    nll_z: FiniteFloat | None = Field(None, description="eq. 7.")
    r_dist: Share | None = Field(None, description="eq. 8, in (0, 1).")
    r_div: Diversity | None = Field(None, description="eq. 12, in [0, 1].")
    scores: dict[str, Score] = Field(
        {}, description="Numbers of the further scorers in `rule.weights`.", exclude_if=lambda scores: not scores
    )
    signals: Signals


class _Rewarded(Told):
    status: Literal["scored"] = "scored"
    total: Total = Field(description="eq. 3.")
    gate: Gate


class _Unrewarded(Told):
    status: Literal["failed"] = "failed"
    total: None = None
    gate: None = None
    error: ItemError


# The base that stands last gives the first fields: what a reader looks for comes before what it is made of.
class RewardScored(Components, _Rewarded):
    """A candidate with a reward. `gate` is `open`, or the reason why r_task is 0."""


class RewardFailed(Components, _Unrewarded):
    """A candidate without a reward, with the components that were computed. Trainers must read it as "no reward"."""
