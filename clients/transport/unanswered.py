"""What stands for a group that the service never answered: every candidate failed, and none has a number."""

from typing import Any

from rewright.service.schema import (
    DiversityGroup,
    Failed,
    Group,
    GroupScores,
    ItemError,
    JudgeGroup,
    NllGroup,
    VerifyGroup,
)


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
    signals: None = None


class UnansweredRewardGroup(GroupScores[UnansweredReward]):
    """As `rewright.service.schema.RewardGroup`, for a group without any answer."""

    feasible: int = 0
    failed: int
    nll_mean: None = None
    nll_std: None = None
    diversity: None = None


def unanswered(endpoint: str, group: Group, error: ItemError) -> GroupScores[Any]:
    """The endpoint's result for a group without an answer."""
    name = group.id or ""
    size = len(group.candidates)
    if endpoint == "reward":
        return UnansweredRewardGroup(id=name, candidates=[UnansweredReward(error=error)] * size, failed=size)
    if endpoint == "diversity":
        return DiversityGroup(id=name, candidates=[Failed(error=error)] * size, diversity=None)
    plain: dict[str, type[VerifyGroup] | type[JudgeGroup] | type[NllGroup]] = {
        "verify": VerifyGroup,
        "judge": JudgeGroup,
        "nll": NllGroup,
    }
    return plain[endpoint](id=name, candidates=[Failed(error=error)] * size)
