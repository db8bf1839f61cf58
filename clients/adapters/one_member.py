"""The reward for frameworks that ask for one sample at a time, and have no channel for "no reward": verl, OpenRLHF.

Members meet at the service (`rewright.clients.rendezvous`). **No reward:** where one member has none, all members of
the group are told so, and all get the same `NEUTRAL` reward: equal rewards, advantage 0. A service that is away is
asked again up to `patience_s`, then the error is raised. The policy is logged once.

A gateway that dies between its answers to one group: the others learn theirs from the next gateway where all share a
store (`cache.redis_url`); else they raise `PartedGroup` after the patience, since `NEUTRAL` stands beside no reward.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewright.clients.adapters.one_group import logs_of
from rewright.clients.adapters.samples import FirstCheck, Sample
from rewright.clients.adapters.trl import text_of
from rewright.clients.rendezvous import AsyncRendezvous
from rewright.clients.transport.batches import parsed_rule
from rewright.service.schema import Rule
from rewright.service.schema.member import MemberAnswer

log = logging.getLogger(__name__)
POLICY = "where one member of a group has no reward, all its members get the same one: advantage 0"
NEUTRAL = 0.0
"""Given to whole groups alone, so that it never stands beside a reward."""


@dataclass(frozen=True)
class OneReward:
    """total: eq. 3, or `NEUTRAL` for a whole group; logs: the same names for all, NaN where nothing is known."""

    total: float
    logs: dict[str, float]


class OneMember:
    """deadline_s: for a group to become whole; patience_s: how long a service that is away is asked again.

    Other options are those of `AsyncRendezvous`.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        deadline_s: float = 300.0,
        patience_s: float = 600.0,
        rule: Rule | Mapping[str, Any] | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        options |= {"rule": rule, "api_key": api_key}
        self._first = FirstCheck(base_urls, parsed_rule(rule), api_key)
        self._meeting = AsyncRendezvous(base_urls, deadline_s=deadline_s, patience_s=patience_s, **options)
        self._told = False

    async def reward(self, sample: Sample, candidate: Any, **keys: Any) -> OneReward:
        """The member's reward. keys: group, size, member and again, as `AsyncRendezvous.reward` takes them.

        Raises `InvalidRequest` and what else the service refuses, and after the patience what kept it away.
        """
        if not self._told:
            self._told = True
            log.info("rewright: %s", POLICY)
        await self._first.check(sample, "sample")
        answer = await self._meeting.reward(
            candidate=text_of(candidate),
            problem=sample.problem,
            reference=sample.reference,
            answer=sample.answer,
            **keys,
        )
        return _reward(answer)


def _reward(answer: MemberAnswer) -> OneReward:
    item, whole = answer.candidate, answer.failed == 0
    total = item.total if whole and item.total is not None else NEUTRAL
    return OneReward(total, logs_of(item, answer.diversity, whole=whole))
