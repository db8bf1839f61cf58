"""What rewards look like over many groups: the numbers that trainers log and the commands print.

Rates are shares of the candidates that were scored; a failed candidate enters `failed` alone. In-group deviations are
population standard deviations, averaged over the groups with at least three members of S_x⁺: two members always have
the same r_div.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from rewright.clients.transport.unanswered import UnansweredReward, UnansweredRewardGroup
from rewright.service.schema import RewardFailed, RewardGroup, RewardScored

AnyRewardGroup: TypeAlias = RewardGroup | UnansweredRewardGroup
AnyCandidate: TypeAlias = RewardScored | RewardFailed | UnansweredReward

SPREAD_FROM = 3
"""Fewest members of S_x⁺ for an in-group deviation."""


def statistics_of(groups: Sequence[AnyRewardGroup]) -> dict[str, float]:
    """The numbers of all candidates of the groups together, name → value.

    A name that has no value here is left out (no nll where no candidate is feasible). The names are total (eq. 3),
    yield (r_task), v_ans, v_rea (of those judged), nll (nats per token), r_dist, r_div, diversity (D of groups with two
    or more members), in_group_std/…, signals/…, scores/… (of further scorers), failed (share of all candidates),
    failed_groups (share of groups with a failed member).
    """
    items: list[AnyCandidate] = [item for group in groups for item in group.candidates]
    scored = [item for item in items if isinstance(item, RewardScored)]
    signals = [item.signals for item in items if item.signals is not None]
    found = {
        "total": _mean(item.total for item in scored),
        "yield": _mean(item.r_task for item in scored),
        # Blank candidates never reach the verifier; they are wrong all the same.
        "v_ans": _mean(item.v_ans or 0 for item in scored),
        "v_rea": _mean(item.v_rea for item in scored),
        "nll": _mean(item.nll for item in items),
        "r_dist": _mean(item.r_dist for item in items),
        "r_div": _mean(item.r_div for item in items),
        "diversity": _mean(group.diversity for group in groups if group.feasible > 1),
        "in_group_std/total": _spread(groups, "total"),
        "in_group_std/r_dist": _spread(groups, "r_dist"),
        "in_group_std/r_div": _spread(groups, "r_div"),
        "signals/n_tokens": _mean(s.n_tokens for s in signals),
        "signals/length_ratio": _mean(s.length_ratio for s in signals),
        "signals/repeated": _mean(s.repeated for s in signals),
        "signals/copied": _mean(s.copied for s in signals),
        "failed": _mean(item.status == "failed" for item in items),
        "failed_groups": _mean(group.failed > 0 for group in groups),
    }
    for name in sorted({name for item in items for name in item.scores}):
        found[f"scores/{name}"] = _mean(item.scores.get(name) for item in items)
    return {name: value for name, value in found.items() if value is not None}


def suggested_lambda_div(numbers: dict[str, float], *, lambda_dist: float = 1.0) -> float | None:
    """λ_div at which λ_div · r_div deviates within groups as λ_dist · r_dist does; None where it cannot be told."""
    dist, div = numbers.get("in_group_std/r_dist"), numbers.get("in_group_std/r_div")
    return lambda_dist * dist / div if dist is not None and div else None


def outcomes(groups: Iterable[AnyRewardGroup]) -> Counter[str]:
    """How many candidates ended at each gate or failed with each code."""
    return Counter(outcome(item) for group in groups for item in group.candidates)


def outcome(item: AnyCandidate) -> str:
    """The gate where the candidate ended, or the code with which it failed."""
    return item.gate if isinstance(item, RewardScored) else item.error.code


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _spread(groups: Sequence[AnyRewardGroup], name: str) -> float | None:
    spreads = []
    for group in groups:
        values = [getattr(c, name) for c in group.candidates if name == "total" or c.r_task == 1]
        known = [value for value in values if value is not None]
        if len(known) >= SPREAD_FROM:
            spreads.append(statistics.pstdev(known))
    return statistics.fmean(spreads) if spreads else None
