"""What stands for a group that the service never answered: every candidate failed, and none has a number."""

from typing import Any

from pydantic import Field

from rewright.service.schema import Failed, Group, GroupScores, ItemError, RewardGroup


class UnansweredReward(Failed):
    """As `rewright.service.schema.RewardFailed`, but nothing is known of the candidate, its signals neither."""

    total: None = None
    gate: None = None
    r_task: None = None
    v_ans: None = None
    v_rea: None = None
    nll: None = None
    nll_z: None = None
    r_dist: None = None
    r_div: None = None
    scores: dict[str, float] = Field({}, exclude_if=lambda scores: not scores)
    signals: None = None


class UnansweredRewardGroup(GroupScores[UnansweredReward]):
    """As `rewright.service.schema.RewardGroup`, for a group without any answer."""

    feasible: int = 0
    failed: int
    nll_mean: None = None
    nll_std: None = None
    diversity: None = None


def unanswered(result: type[GroupScores[Any]], group: Group, error: ItemError) -> GroupScores[Any]:
    """The result, of a model such as `NllGroup`, for a group without an answer."""
    name, size = group.id or "", len(group.candidates)
    if result is RewardGroup:
        return UnansweredRewardGroup(id=name, candidates=[UnansweredReward(error=error)] * size, failed=size)
    # What else a group's result holds is told of scored candidates, and there are none.
    nothing = dict.fromkeys(result.model_fields)
    return result.model_validate(nothing | {"id": name, "candidates": [Failed(error=error)] * size})
