"""What a policy writes for problems that it is not trained on, in numbers, and when these should worry somebody.

Promises: a number that could not be had is left out, never 0; every share says of what it is one.
Not covered: writing the texts and asking the service (`rewright.trainer.grpo.watch`).
"""

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


@dataclass(frozen=True)
class Look:
    """step: after so many updates; problems: how many were written; values: name → number, of

    yield, v_ans     of what was scored, r_task = 1 and right final answers
    bare             of what was scored, right answers that certain checks refuse, or shorter than `BARE_RATIO`
    wrongly_passed   of what was scored, reasoning that the judge passed and certain checks refuse
    nll, nll_head    mean over texts, nats per token of π0: all tokens, and the first `HEAD`
    length_ratio, copied, repeated    means of the service's signals
    cut_off          of all, ended by the limit
    kl               of the step's rollouts, as TRL estimates it, nats per token
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
    """One text a group each. checked: the same under the rule that only the certain checks decide the reasoning."""
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
    found = []
    share, at_first = now.values.get("bare"), first.values.get("bare", 0.0)
    if share is not None and share > max(MOST_BARE, at_first):
        found.append(
            f"{share:.0%} of the rewrites only state an answer (at the first look {at_first:.0%}): raise "
            "reward.guards.min_length_ratio"
        )
    before, ratio = first.values.get("length_ratio"), now.values.get("length_ratio")
    if before and ratio is not None and not 1 / LENGTH_DRIFT <= ratio / before <= LENGTH_DRIFT:
        found.append(f"rewrites are {ratio:.2f} times their references' length, at the first look {before:.2f}")
    passed = now.values.get("wrongly_passed")
    if passed:
        found.append(f"the judge passes {passed:.0%} of the rewrites though certain checks refuse them")
    return found


RULE = (
    f"the highest yield on the held-back problems among looks with at most {MOST_BARE:.0%} bare answers and a length "
    f"ratio within {LENGTH_DRIFT:g} times of the first look's; where yields are within one problem, the lower NLL of "
    f"the first {HEAD} tokens"
)


def best_of(looks: Sequence[Look]) -> Look | None:
    """By `RULE`; None where no look of a trained policy fits it."""
    fit = [look for look in looks if look.step > 0 and "yield" in look.values and not alarms(looks[0], look)]
    if not fit:
        return None
    top = max(look.values["yield"] for look in fit)
    near = [look for look in fit if look.values["yield"] >= top - 1 / look.problems - 1e-9]
    return min(near, key=lambda look: look.values.get("nll_head", float("inf")))


def _bare(item: Any) -> bool:
    refused = item.v_ans == 1 and item.v_rea == 0
    ratio = item.signals.length_ratio
    return refused or (ratio is not None and ratio < BARE_RATIO)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else None
