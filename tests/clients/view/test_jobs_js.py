"""What all groups show together, as the page counts it, beside the same in Python."""

import random
import statistics
from typing import Any

import pytest

from rewright.service.schema import Rule
from tests.clients.view.page_code import in_the_page, needs_node

pytestmark = needs_node
RULE = Rule().model_dump(mode="json", exclude_none=True) | {"guards": {}, "weights": {}}


def item(total: float | None, copied: float | None = None, **values: Any) -> dict[str, Any]:
    return {"status": "scored", "gate": "open", "r_task": 1, "total": total, "signals": {"copied": copied}} | values


def test_means_are_per_step_and_of_what_is_known() -> None:
    groups = [
        {"step": 1, "candidates": [item(1.0, 0.2), item(None, None)]},
        {"step": 1, "candidates": [item(2.0, 0.4)]},
        {"step": 9, "candidates": [item(None, 0.5)]},
    ]
    found = {each["name"]: each for each in in_the_page("jobs", "jobs.overSteps(groups, [1, 9])", groups=groups)}
    assert found["total"]["values"] == [1.5, None]
    assert found["copied"]["values"] == pytest.approx([0.3, 0.5])
    assert "nll" not in found


def test_correlation_is_among_siblings() -> None:
    """Between the groups totals fall with the share; within them they rise."""
    dice = random.Random(1)
    groups, xs, ys = [], [], []
    for k in range(20):
        members = [(0.04 * k + dice.random() / 9, -2.0 * k + dice.random()) for _ in range(5)]
        groups.append({"candidates": [item(total, share) for share, total in members]})
        xs += [share - statistics.fmean(m[0] for m in members) for share, _ in members]
        ys += [total - statistics.fmean(m[1] for m in members) for _, total in members]
    read = "jobs.siblingsCorrelation(groups, (item) => item.signals.copied)"
    assert in_the_page("jobs", read, groups=groups) == pytest.approx(statistics.correlation(xs, ys), abs=1e-9)
    assert in_the_page("jobs", read, groups=[{"candidates": [item(1.0, 0.5), item(2.0, 0.5)]}]) is None


def test_another_rule_is_compared_where_both_are_known() -> None:
    near, far = {"nll": 0.1, "r_div": 0.0}, {"nll": 2.0, "r_div": 0.5}
    turned = {"candidates": [item(1.9, **near), item(1.2, **far)]}
    lost = {"candidates": [item(1.0, r_div=0.1), item(None)]}
    rule = RULE | {"variant": "no_dist"}
    effect = in_the_page("jobs", "jobs.effectOf(groups, rule, given)", groups=[turned, lost], rule=rule, given=RULE)
    assert (effect["known"], effect["unknown"], effect["best"], effect["order"]) == (1, 1, 1, 1)
    assert effect["before"] == pytest.approx(statistics.pstdev([1.9, 1.2]))
    assert effect["now"] == pytest.approx(statistics.pstdev([1.0, 1.5]))
    same = in_the_page("jobs", "jobs.effectOf(groups, given, given)", groups=[lost], given=RULE)
    assert (same["known"], same["before"]) == (0, None)
