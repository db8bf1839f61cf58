"""The reward for the Tinker cookbook (0.6.1), whose group builders see all trajectories of a problem.

    REWARDS = GroupRewards("http://127.0.0.1:8000")

    @dataclass(frozen=True)
    class RewriteGroup(ProblemGroupBuilder):
        row: dict = field(kw_only=True)

        async def compute_group_rewards(self, trajectory_group, env_group):
            return await REWARDS(self.row, trajectory_group, env_group)

The environments' own rewards must be equal, best 0 (`format_coef=0`, `check_answer` False): the total is gated, and
would be added to theirs.

**No reward:** all members get one reward, `NEUTRAL`: the cookbook subtracts the group's mean, so advantage 0, and
leaves such groups out where `remove_constant_reward_groups` is on. A service that is away for longer than `patience_s`
raises. Components are the metrics of each trajectory. Picklable; the cookbook is not imported.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.clients.adapters.one_group import OneGroup
from rewright.clients.adapters.one_member import NEUTRAL
from rewright.clients.adapters.samples import mapped_columns, sample_of
from rewright.service.errors import InvalidRequest


class GroupRewards:
    """columns: names of a row's fields, where they are not `problem`, `reference` and `answer`.

    Other options are those of `OneGroup`.
    """

    def __init__(
        self, base_urls: str | Sequence[str], *, columns: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self._columns = mapped_columns(columns)
        self._groups = OneGroup(base_urls, **options)

    async def __call__(
        self, row: Mapping[str, Any], trajectory_group: Sequence[Any], env_group: Sequence[Any]
    ) -> list[tuple[float, dict[str, float]]]:
        """A reward and its components (those that are known) per trajectory, in order.

        Candidates are the last turns, read by each environment's own renderer. Raises `InvalidRequest`, and what
        `OneGroup.reward` does.
        """
        own = [sum(step.reward for step in trajectory.transitions) for trajectory in trajectory_group]
        if len(set(own)) > 1:
            raise InvalidRequest(
                "the environments' own rewards differ, and would be added to a gated total; make them 0"
            )
        candidates = [
            [env.renderer.parse_response(trajectory.transitions[-1].ac.tokens)[0]]
            for trajectory, env in zip(trajectory_group, env_group, strict=True)
        ]
        rewarded = await self._groups.reward(sample_of(row, "row", columns=self._columns), candidates, where="row")
        totals = rewarded.totals or [NEUTRAL] * len(candidates)
        known = ({name: value for name, value in logs.items() if not math.isnan(value)} for logs in rewarded.logs)
        return list(zip(totals, known, strict=True))
