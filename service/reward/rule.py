"""The reward rule: pure arithmetic of arXiv 2602.11220, eq. 3 to 12, and the decisions where the paper is silent.

Takes what the scorers said of each candidate of one group (`Evidence`) and answers with the group's rewards. It alone
decides what a missing score means:

1. the candidate's own doing (blank, wrong, no answer, undecided, judged invalid or not at all, too long, spelling
   control tokens, past a guard) shuts the gate: scored, r_task = 0, and `gate` names the first reason in gate order;
2. the service's doing leaves the candidate `failed`: no total, and no part in any statistic of its group;
3. the data's doing (`bad_gold`) arrives from the verifier as a failure that is not retryable, and is treated as 2.

A component that `total` does not use (by variant, λ = 0 or weight 0) may be missing without failing the candidate.
No I/O, no asyncio, no torch; float64 throughout.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rewright.service.schema import (
    LARGEST_TOTAL,
    NOT_FINITE,
    DiversityScored,
    Failed,
    Gate,
    Guards,
    ItemError,
    JudgeScored,
    NllScored,
    RewardFailed,
    RewardGroup,
    RewardScored,
    Rule,
    ScalarScored,
    Signals,
    VerifyScored,
)

EPSILON = 1e-6
"""ε of eq. 7."""

_OWN_DOING: dict[str, Gate] = {"blank": "blank", "too_long": "too_long", "control_tokens": "control_tokens"}
"""Item codes of scorers that are the candidate's own doing, and the gate each one shuts."""

_JUDGED_BAD: frozenset[Gate | None] = frozenset({"wrong", "no_answer", "undecided", "invalid", "no_verdict"})
"""Gates that a verdict shut; every other one is shut by the shape of the text."""


@dataclass(slots=True)
class Evidence:
    """What is known of one candidate; None where a scorer was not asked."""

    blank: bool
    signals: Signals
    verify: VerifyScored | Failed | None = None
    judge: JudgeScored | Failed | None = None
    nll: NllScored | Failed | None = None
    diversity: DiversityScored | Failed | None = None
    scalars: dict[str, ScalarScored | Failed] = field(default_factory=dict)
    """By name, what the further scorers of `Rule.weights` said."""


_NO_TAIL = Failed.because(
    "internal",
    "the nll scorer is older than rule.dist and tells no tail; update its pods, or use dist: mean or sum",
    retryable=False,
)


class Standing(NamedTuple):
    """Where a candidate stands. `gate` is None where `error` is set.

    member: it enters the statistics of eq. 7 and 10, that is S_x⁺, or S_x for the variant `soft`.
    """

    gate: Gate | None
    error: ItemError | None
    member: bool


def uses_dist(rule: Rule) -> bool:
    """Whether `total` depends on r_dist."""
    return rule.variant in {"full", "no_div", "soft"} and rule.lambda_dist != 0


def uses_div(rule: Rule) -> bool:
    """Whether `total` depends on r_div."""
    return rule.variant in {"full", "no_dist", "soft"} and rule.lambda_div != 0


def uses_scalar(rule: Rule, name: str) -> bool:
    """Whether `total` depends on the number of that further scorer."""
    return rule.variant != "task_only" and rule.weights.get(name, 0.0) != 0


def nll_target(nll: NllScored, rule: Rule) -> float | None:
    """What eq. 7 standardises: eq. 6 (nats per token), its sum over the tokens (nats), or its mean over the least
    likely 20 % of them; None where the scorer is too old to tell.

    The mean is the paper's. It is lower for a longer text of the same content; the sum is not, and the tail looks at
    the tokens that training would move most. Both are ours.
    """
    if rule.dist == "sum":
        return nll.nll * nll.n_tokens
    return nll.nll if rule.dist == "mean" else nll.nll_tail


def standing(evidence: Evidence, rule: Rule) -> Standing:
    """The candidate's gate, failure and membership, as far as the evidence goes.

    May be asked at any stage: a scorer that was not asked yet neither shuts the gate nor fails the candidate.
    """
    if evidence.blank:
        return Standing("blank", None, member=False)
    gate: Gate | None = None
    unfit: Gate | None = None
    for reason in (_verify_gate(evidence), _guard_gate(evidence.signals, rule.guards), _judge_gate(evidence)):
        if reason is None:
            continue
        if isinstance(reason, ItemError):
            return Standing(None, reason, member=False)
        gate = gate or reason
        if rule.variant != "soft":
            return Standing(gate, None, member=False)
        # `soft` rewards wrong and invalid candidates too, but never one that escaped being measured.
        if reason not in _JUDGED_BAD:
            unfit = unfit or reason
    # A further scorer that does not count has no say: not every one of them is about the backbone.
    scalars = [(s, _always) for name, s in evidence.scalars.items() if uses_scalar(rule, name)]
    for result, uses in ((_nll_told(evidence, rule), uses_dist), *scalars, (evidence.diversity, uses_div)):
        if result is None:
            continue
        if result.status == "failed":
            if own := _OWN_DOING.get(result.error.code):
                unfit = unfit or own
            elif uses(rule):
                return Standing(None, result.error, member=False)
        elif type(result) is NllScored and result.control_tokens:
            unfit = unfit or "control_tokens"
    return Standing(gate or unfit or "open", None, member=unfit is None)


def _nll_told(evidence: Evidence, rule: Rule) -> NllScored | Failed | None:
    """What the scorer said, where that holds what the rule standardises."""
    told = evidence.nll
    return _NO_TAIL if told and told.status == "scored" and nll_target(told, rule) is None else told


def _always(_: Rule) -> bool:
    return True


def reward(group_id: str, evidence: Sequence[Evidence], rule: Rule, *, diversity: float | None) -> RewardGroup:
    """Rewards of one group (eq. 3 to 12), one a candidate in order.

    diversity: D of eq. 10 over exactly the members whose evidence holds a `DiversityScored`; None if not computed.
    """
    standings = [standing(e, rule) for e in evidence]
    members = [k for k, s in enumerate(standings) if s.member]
    target_by_member = {
        k: target
        for k in members
        if isinstance(nll := evidence[k].nll, NllScored) and (target := nll_target(nll, rule)) is not None
    }
    stats = nll_statistics(list(target_by_member.values()))
    candidates = [
        _candidate(e, s, rule, target_by_member.get(k), stats)
        for k, (e, s) in enumerate(zip(evidence, standings, strict=True))
    ]
    return RewardGroup(
        id=group_id,
        candidates=candidates,
        feasible=sum(s.gate == "open" for s in standings),
        failed=sum(c.status == "failed" for c in candidates),
        nll_mean=stats.mean if stats else None,
        nll_std=stats.std if stats else None,
        diversity=diversity,
    )


class NllStatistics(NamedTuple):
    """μ_x and σ_x of eq. 7 (population), nats per token; of sums, nats."""

    mean: float
    std: float


def nll_statistics(nll_K: Sequence[float]) -> NllStatistics | None:
    """Statistics of the members' NLL; None for no member."""
    if not nll_K:
        return None
    mean = math.fsum(nll_K) / len(nll_K)
    return NllStatistics(mean, math.sqrt(math.fsum((nll - mean) ** 2 for nll in nll_K) / len(nll_K)))


def standardised_nll(nll: float, stats: NllStatistics, *, min_std: float) -> float:
    """eq. 7, with σ_x floored at `min_std`."""
    return (nll - stats.mean) / (max(stats.std, min_std) + EPSILON)


def dist_reward(nll_z: float) -> float:
    """eq. 8, in (0, 1), written so that neither tail overflows."""
    if nll_z >= 0:
        tail = math.exp(-nll_z)
        return tail / (1.0 + tail)
    return 1.0 / (1.0 + math.exp(nll_z))


def _candidate(
    e: Evidence, s: Standing, rule: Rule, target: float | None, stats: NllStatistics | None
) -> RewardScored | RewardFailed:
    """target: as `nll_target` gives it for a member; None for the others."""
    v_ans = int(e.verify.correct) if isinstance(e.verify, VerifyScored) else None
    v_rea = int(e.judge.valid) if isinstance(e.judge, JudgeScored) else None
    nll = e.nll.nll if isinstance(e.nll, NllScored) else None
    scores = {name: item.score for name, item in e.scalars.items() if item.status == "scored"}

    def failed(r_task: int | None, error: ItemError) -> RewardFailed:
        return RewardFailed(
            r_task=r_task, v_ans=v_ans, v_rea=v_rea, nll=nll, scores=scores, signals=e.signals, error=error
        )

    if s.error is not None:
        return failed(r_task=0 if v_ans == 0 else None if v_rea is None else v_rea, error=s.error)
    nll_dist = target if rule.dist != "mean" else None
    nll_z = standardised_nll(target, stats, min_std=rule.min_std) if stats and target is not None else None
    r_dist = dist_reward(nll_z) if nll_z is not None else None
    r_div = e.diversity.r_div if s.member and isinstance(e.diversity, DiversityScored) else None
    r_task = int(s.gate == "open")
    total = _total(r_task, r_dist, r_div, scores, rule)
    if not abs(total) <= LARGEST_TOTAL:  # NaN is not
        too_large = ItemError(code=NOT_FINITE, message="total: a λ, a weight or a score is too large", retryable=False)
        return failed(r_task=r_task, error=too_large)
    return RewardScored(
        total=total,
        gate=s.gate or "open",
        r_task=r_task,
        v_ans=v_ans,
        v_rea=v_rea,
        nll=nll,
        nll_dist=nll_dist,
        nll_z=nll_z,
        r_dist=r_dist,
        r_div=r_div,
        scores=scores,
        signals=e.signals,
    )


def _total(r_task: int, r_dist: float | None, r_div: float | None, scores: Mapping[str, float], rule: Rule) -> float:
    """eq. 3 and its variants, with further terms of `Rule.weights` beside its two.

    A term that the variant leaves out, or that the gate left uncomputed, adds nothing.
    """
    auxiliary = 0.0
    if uses_dist(rule) and r_dist is not None:
        auxiliary += rule.lambda_dist * r_dist
    if uses_div(rule) and r_div is not None:
        auxiliary += rule.lambda_div * r_div
    auxiliary += sum(rule.weights[name] * score for name, score in scores.items() if uses_scalar(rule, name))
    return r_task + (auxiliary if rule.variant == "soft" else r_task * auxiliary)


# By status, here and above: asking a model whether it is of another class costs several times as much.
def _verify_gate(e: Evidence) -> Gate | ItemError | None:
    if e.verify is None:
        return None
    if e.verify.status == "failed":
        return _OWN_DOING.get(e.verify.error.code) or e.verify.error
    return None if e.verify.verdict == "correct" else e.verify.verdict


def _judge_gate(e: Evidence) -> Gate | ItemError | None:
    if e.judge is None:
        return None
    if e.judge.status == "failed":
        return _OWN_DOING.get(e.judge.error.code) or e.judge.error
    return None if e.judge.verdict == "valid" else e.judge.verdict


def _guard_gate(signals: Signals, guards: Guards) -> Gate | None:
    if not guards.model_fields_set:
        return None
    ratio, fewest = signals.length_ratio, guards.min_length_ratio
    if ratio is not None and fewest is not None and ratio < fewest:
        return "guard_length_ratio"
    limits: tuple[tuple[Gate, float | None, float | None], ...] = (
        ("guard_n_tokens", signals.n_tokens, guards.max_n_tokens),
        ("guard_length_ratio", signals.length_ratio, guards.max_length_ratio),
        ("guard_repeated", signals.repeated, guards.max_repeated),
        ("guard_copied", signals.copied, guards.max_copied),
    )
    for gate, value, limit in limits:
        if limit is not None and value is not None and value > limit:
            return gate
    return None
