"""The reward for frameworks that ask for one whole group at a time: slime, Tinker, SkyRL, verifiers.

**No reward:** where one member has none, the group has none, and the adapter says what its framework makes of that. A
service that is away, or busy, is asked again up to `patience_s`; a group of which nothing could be scored for such a
reason then raises, so that training does not go on with nothing. The policy is logged once.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewright.clients.adapters.samples import FirstCheck, Sample
from rewright.clients.adapters.trl import SHORTEST_TRY_S, text_of
from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.reward_statistics import AnyRewardGroup
from rewright.clients.transport.batches import parsed_rule
from rewright.clients.transport.scoring_call import retryable_codes
from rewright.clients.transport.unanswered import UnansweredRewardGroup
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from rewright.service.schema import Group, RewardScored, Rule

log = logging.getLogger(__name__)
POLICY = "where one member of a group has no reward, the whole group has none"
LOGGED = ("v_ans", "v_rea", "r_task", "nll", "r_dist", "r_div")
"""Components that every adapter tells of each member."""


@dataclass(frozen=True)
class GroupReward:
    """totals: eq. 3 of each member, None where the group has none; logs: of each, NaN where nothing is known."""

    totals: list[float] | None
    logs: list[dict[str, float]]


class OneGroup:
    """rule: λs and variant (eq. 3); patience_s: see the module. Other options are those of `AsyncRewardClient`.

    Picklable; no connection outlives its call, so that calls may come on any event loop.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        rule: Rule | Mapping[str, Any] | None = None,
        patience_s: float = 600.0,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        self._rule = parsed_rule(rule)
        self._patience_s = patience_s
        self._options = {"deadline_s": None, **options, "base_urls": base_urls, "api_key": api_key}
        self._options["patience_s"] = patience_s
        self._first = FirstCheck(base_urls, self._rule, api_key)
        self._client = AsyncRewardClient(**self._options)
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._client = AsyncRewardClient(**self._options)

    async def reward(self, sample: Sample, candidates: Sequence[Any], *, where: str = "sample") -> GroupReward:
        """Of all candidates of one problem, in order; texts or message lists, of which the last assistant text counts.

        where: names the sample in errors. Raises `InvalidRequest` for what cannot be scored, and after the patience
        `DeadlineExceeded` or `ScorerUnavailable`.
        """
        if not candidates:
            raise InvalidRequest(f"{where}: a group needs at least one candidate")
        if not self._told:
            self._told = True
            log.info("rewright: %s", POLICY)
        await self._first.check(sample, where)
        asked = Group(**vars(sample), candidates=[text_of(candidate) for candidate in candidates])
        async with self._client:
            group = await self._scored(asked)
        failures = Counter(item.error.code for item in group.candidates if not isinstance(item, RewardScored))
        if failures:
            log.warning("rewright: a group of %d has no reward: %s", len(candidates), dict(failures))
        totals = [item.total for item in group.candidates if item.total is not None]
        return GroupReward(
            totals=totals if len(totals) == len(candidates) else None,
            logs=[logs_of(item, group.diversity, whole=not failures) for item in group.candidates],
        )

    async def _scored(self, asked: Group) -> AnyRewardGroup:
        ends = time.monotonic() + self._patience_s
        while True:
            left = max(ends - time.monotonic(), SHORTEST_TRY_S)
            (group,) = (await self._client.reward([asked], rule=self._rule, deadline_s=left)).groups
            may_pass = retryable_codes(group)
            if not may_pass or ends - time.monotonic() < SHORTEST_TRY_S:
                break
        within = f"within the patience of {self._patience_s:g} s"
        if isinstance(group, UnansweredRewardGroup):
            raise DeadlineExceeded(f"the service did not answer {within}: {group.candidates[0].error.message}")
        if may_pass and all(item.total is None for item in group.candidates):
            raise ScorerUnavailable(f"nothing of this group could be scored {within}: {', '.join(sorted(may_pass))}")
        return group


def logs_of(item: Any, diversity: float | None, *, whole: bool) -> dict[str, float]:
    """Numbers of one member by name, the same names for all, NaN where nothing is known."""
    numbers = {name: number(getattr(item, name, None)) for name in LOGGED}
    return numbers | {
        "diversity": number(diversity),
        "unscored": float(item.total is None),
        "neutral": float(not whole),
    }


def number(value: float | None) -> float:
    """NaN for None."""
    return math.nan if value is None else float(value)
