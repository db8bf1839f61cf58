"""The reward for frameworks that ask for one sample at a time, and have no channel for "no reward": verl, OpenRLHF.

Members meet at the service (`rewright.clients.rendezvous`). **No reward:** where one member has none, all members of
the group are told so, and all get the same `NEUTRAL` reward: equal rewards, advantage 0. A service that is away is
asked again up to `patience_s`, then the error is raised. The policy is logged once.

A gateway that dies between its answers to one group: the others learn theirs from the next gateway where all share a
store (`cache.redis_url`); else they raise `PartedGroup` after the patience, since `NEUTRAL` stands beside no reward.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewright.clients.adapters.trl import text_of
from rewright.clients.rendezvous import AsyncRendezvous
from rewright.service.errors import InvalidRequest
from rewright.service.schema.member import MemberAnswer

log = logging.getLogger(__name__)
POLICY = "where one member of a group has no reward, all its members get the same one: advantage 0"
NEUTRAL = 0.0
"""Given to whole groups alone, so that it never stands beside a reward."""
LOGGED = ("v_ans", "v_rea", "r_task", "nll", "r_dist", "r_div")


@dataclass(frozen=True)
class Sample:
    """What the reward needs to know of a problem."""

    problem: str
    reference: str
    answer: str | None = None


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
        self, base_urls: str | Sequence[str], *, deadline_s: float = 300.0, patience_s: float = 600.0, **options: Any
    ) -> None:
        self._meeting = AsyncRendezvous(base_urls, deadline_s=deadline_s, patience_s=patience_s, **options)
        self._told = False

    async def reward(self, sample: Sample, candidate: Any, **keys: Any) -> OneReward:
        """The member's reward. keys: group, size, member and again, as `AsyncRendezvous.reward` takes them.

        Raises `InvalidRequest` and what else the service refuses, and after the patience what kept it away.
        """
        if not self._told:
            self._told = True
            log.info("rewright: %s", POLICY)
        answer = await self._meeting.reward(
            candidate=text_of(candidate),
            problem=sample.problem,
            reference=sample.reference,
            answer=sample.answer,
            **keys,
        )
        return _reward(answer)


def sample_of(columns: Mapping[str, Any], where: str) -> Sample:
    """A sample out of a mapping with `problem`, `reference` and perhaps `answer`. `where` is named in errors."""
    for name in ("problem", "reference"):
        if not isinstance(columns.get(name), str):
            raise InvalidRequest(f"{where}.{name}: must be a text; the reward needs `problem` and `reference`")
    answer = columns.get("answer")
    if not (answer is None or isinstance(answer, str)):
        raise InvalidRequest(f"{where}.answer: must be a text where it is there")
    return Sample(columns["problem"], columns["reference"], answer)


def sample_of_json(text: object, where: str) -> Sample:
    """The same out of a JSON object, for frameworks that carry one text beside the prompt."""
    try:
        content = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InvalidRequest(f'{where}: must be a JSON object such as {{"problem": "…", "reference": "…"}}')
    return sample_of(content, where)


def _reward(answer: MemberAnswer) -> OneReward:
    item, whole = answer.candidate, answer.failed == 0
    numbers = {name: _number(getattr(item, name, None)) for name in LOGGED}
    logs = numbers | {"diversity": _number(answer.diversity), "unscored": float(item.total is None)}
    return OneReward(item.total if whole and item.total is not None else NEUTRAL, logs | {"neutral": float(not whole)})


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
