"""What a policy writes for problems that it is not trained on, in numbers, and when these should worry somebody.

Promises: a number that could not be had is left out, never 0; every share says of what it is one.
Not covered: writing the texts and asking the service (`rewright.trainer.grpo.watch`).
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewright.clients.wire import NllGroup, RewardGroup

HEAD = 64
"""Tokens of π0 whose mean is `nll_head`: texts that grow longer get likelier by that alone, and their beginnings do
not."""
BARE_RATIO = 0.2
"""Words and signs, over the reference's; below it a text holds no reasoning to speak of."""
MOST_BARE = 0.02
LENGTH_DRIFT = 2.0
MOST_FAILED = 0.1


@dataclass(frozen=True)
class Look:
    """step: after so many updates; problems: how many were written; values: name → number, of

    yield, v_ans     of what was scored, r_task = 1 and right final answers
    bare             of what was scored, right answers that certain checks refuse, or shorter than `BARE_RATIO`
    wrongly_passed   of what was scored, reasoning that the judge passed and certain checks refuse
    nll, nll_head    mean over texts, nats per token of π0: all tokens, and the first `HEAD`
    length_ratio, copied, repeated    means of the service's signals
    cut_off          of all, ended by the limit
    kl, diversity    of the step's rollouts: as TRL estimates it, nats per token; D (eq. 10), which one greedy text a
                     problem has not
    failed           of all, without a score
    """

    step: int
    problems: int
    values: dict[str, float]

    def as_row(self) -> dict[str, Any]:
        return {"step": self.step, "problems": self.problems, **self.values}


def look_from_row(row: Mapping[str, Any]) -> Look:
    """The other way round."""
    values = {name: float(value) for name, value in row.items() if name not in ("step", "problems")}
    return Look(int(row["step"]), int(row["problems"]), values)


def numbers(
    rewards: Sequence[RewardGroup], checked: Sequence[RewardGroup], nlls: Sequence[NllGroup], cut_off: Sequence[bool]
) -> dict[str, float]:
    """One text a group each. checked: the same under the rule that only the certain checks decide the reasoning.

    nlls: none where the service has no π0.
    """
    items = [group.candidates[0] for group in rewards]
    scored = [item for item in items if item.status == "scored"]
    both = [
        (item, sure)
        for item, group in zip(items, checked, strict=True)
        if (sure := group.candidates[0]).status == "scored" and item.status == "scored"
    ]
    signals = [item.signals for item in items if item.signals is not None]
    likely = [item for group in nlls if (item := group.candidates[0]).status == "scored"]
    found = {
        "yield": _mean(item.r_task for item in scored),
        "v_ans": _mean(item.v_ans or 0 for item in scored),
        "bare": _mean(_bare(sure) for _, sure in both),
        "wrongly_passed": _mean(item.v_rea == 1 and sure.v_rea == 0 for item, sure in both),
        "nll": _mean(item.nll for item in likely),
        "nll_head": _mean(-statistics.fmean(t.logprob for t in item.tokens[:HEAD]) for item in likely if item.tokens),
        "length_ratio": _mean(s.length_ratio for s in signals),
        "copied": _mean(s.copied for s in signals),
        "repeated": _mean(s.repeated for s in signals),
        "cut_off": _mean(cut_off),
        "failed": _mean(item.status != "scored" for item in items),
    }
    return {name: value for name, value in found.items() if value is not None}


def alarms(first: Look, now: Look) -> list[str]:
    """What of this look is no longer as a sound run's, against the run's first."""
    found = _flaws(first, now)
    passed = now.values.get("wrongly_passed")
    if passed:
        found.append(f"the judge passes {passed:.0%} of the rewrites though certain checks refuse them")
    return found


def _flaws(first: Look, now: Look) -> list[str]:
    """Alarms that are of the policy, and not of its judge."""
    found = []
    share, at_first = now.values.get("bare"), first.values.get("bare", 0.0)
    if share is not None and share > max(MOST_BARE, at_first):
        found.append(
            f"{share:.0%} of the rewrites only state an answer (at the first look {at_first:.0%}): raise "
            "reward.guards.min_length_ratio"
        )
    before, ratio = first.values.get("length_ratio"), now.values.get("length_ratio")
    if before and ratio is not None and _drifted(before, ratio):
        found.append(f"rewrites are {ratio:.2f} times their references' length, at the first look {before:.2f}")
    return found


def _drifted(before: float, now: float) -> bool:
    """By `LENGTH_DRIFT`, and away from the reference's length: a policy that learns to end comes nearer to it."""
    if now == 0:
        return True
    return abs(math.log(now / before)) > math.log(LENGTH_DRIFT) and abs(math.log(now)) > abs(math.log(before))


RULE = (
    f"a look is considered where at most {MOST_FAILED:.0%} of its rewrites have no score, at most {MOST_BARE:.0%} (or "
    "the first look's share) are bare answers and their length has not drifted away from the references' by more than "
    f"{LENGTH_DRIFT:g} times since the first look; it is kept where its yield is within one problem of the highest so "
    "far, and the one kept before it is not, or has a higher NLL of the first "
    f"{HEAD} tokens"
)


def same_problems(looks: Sequence[Look]) -> list[Look]:
    """Those at as many problems as the last: others cannot be compared with it."""
    return [look for look in looks if look.problems == looks[-1].problems]


def best_of(looks: Sequence[Look]) -> Look | None:
    """By `RULE`, as they came: it is always the last or was the best before, so that its weights can be there.

    None where no look of a trained policy is considered.
    """
    kept: Look | None = None
    top = 0.0
    looks = same_problems(looks)
    for look in looks:
        if look.step == 0 or "yield" not in look.values or look.values.get("failed", 0.0) > MOST_FAILED:
            continue
        if _flaws(looks[0], look):
            continue
        top = max(top, look.values["yield"])
        near = top - 1 / look.problems - 1e-9
        if look.values["yield"] >= near and (
            kept is None or kept.values["yield"] < near or _preferred(look) < _preferred(kept)
        ):
            kept = look
    return kept


def _preferred(look: Look) -> tuple[float, float]:
    return look.values.get("nll_head", math.inf), -look.values["yield"]


def _bare(item: Any) -> bool:
    refused = item.v_ans == 1 and item.v_rea == 0
    ratio = item.signals.length_ratio
    return refused or (ratio is not None and ratio < BARE_RATIO)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None
