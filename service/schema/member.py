"""The wire language of `/v1/rendezvous/reward`: one candidate a call, answered when its group is whole."""

from typing import Annotated

from pydantic import Field

from rewright.service.schema.answers import ServedBy
from rewright.service.schema.base import Asked, Count, Diversity, Nll, Told
from rewright.service.schema.items import Failed, RewardFailed, RewardScored
from rewright.service.schema.messages import Text
from rewright.service.schema.requests import Rule

INCOMPLETE = "incomplete_group"
"""Code of every member whose group was not whole at its deadline."""
LARGEST_GROUP = 65_536

Key = Annotated[str, Field(min_length=1, max_length=512)]


class Member(Asked):
    """One of the `size` candidates of one problem. Members of a group agree in all but `member` and `candidate`."""

    group: Key = Field(description="Equal for the members of one group, and never used again: put the step in it.")
    size: int = Field(ge=1, le=LARGEST_GROUP, description="K, how many members the group has.")
    member: Key = Field(description="Unique in the group, and the same when the call is repeated.")
    problem: str | None = None
    reference: str | None = None
    answer: str | None = None
    candidate: Text = Field(description="The rewrite, or chat messages, of which the last by the assistant counts.")
    rule: Rule = Rule()
    again: bool = Field(
        False,
        description="The group's key comes again, such as every epoch: whoever has a new `member` key joins the group "
        "that is filling, or begins the next. `member` keys are then never used again.",
    )
    deadline_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds until the group is answered, whole or not; the soonest of its members counts.",
    )


class Alone(Failed):
    """A member whose group was never scored: nothing is known of it, and it has no number."""

    total: None = None
    gate: None = None


class MemberAnswer(Told):
    """The member's own result, and what `RewardGroup` tells of its group. Every member of a group is told the same."""

    group: str
    member: str
    candidate: RewardScored | RewardFailed | Alone
    size: Count
    feasible: Count
    failed: Count = Field(description="Members without a reward; all of them where the group did not become whole.")
    nll_mean: Nll | None = None
    nll_std: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    diversity: Diversity | None = None
    agreed: bool = Field(
        False,
        description="Every gateway tells the members of this group the same, by the store that they share. Where it is "
        "false, another gateway may have scored the group for members that it did not lose.",
    )
    served_by: ServedBy | None = Field(None, description="null where the group was never scored.")
