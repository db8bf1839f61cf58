"""One group through the gate: verify all → judge those correct → nll on the members → diversity on those still there.

Runs the scorers in gate order, asks each only for the candidates that still need it, and hands the evidence to
`reward_rule`. Diversity comes after the NLL because its set must be exact: a candidate that the NLL finds too long, or
fails on, is no member. Groups flow through on their own, so that while one waits for its judge another uses the device.

Trouble of a whole scorer in the middle of a group becomes `Failed` items; it raises only where no group got anywhere.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, TypeVar

from service.errors import InternalError, Overloaded, RewrightError, ScorerOff
from service.reward_rule import Evidence, reward, standing, uses_dist, uses_div
from service.schema import Failed, Group, GroupScores, RewardGroup, Rule
from service.scorers.contract import Scorer, Scorers, check_kept, only
from service.signals import signals_of

log = logging.getLogger(__name__)
GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])


def wanted_scorers(rule: Rule) -> frozenset[str]:
    """Names of the scorers that /v1/reward needs under this rule (method: "Variants")."""
    wanted = {"verify", "judge"}
    if uses_dist(rule) or not rule.skip_unused:
        wanted.add("nll")
    if uses_div(rule) or not rule.skip_unused:
        wanted.add("diversity")
    return frozenset(wanted)


async def reward_groups(groups: Sequence[Group], rule: Rule, scorers: Scorers) -> list[RewardGroup]:
    """Rewards of all groups, in order.

    Raises `ScorerOff` where the rule needs a scorer that is off, and `Overloaded` where no group got past a full queue.
    """
    wanted = wanted_scorers(rule)
    missing = sorted(wanted - {scorer.name for scorer in scorers})
    if missing:
        hint = "" if rule.skip_unused else "; or set rule.skip_unused if the variant does not use it"
        raise ScorerOff(f"/v1/reward needs {', '.join(missing)}, which is off here; turn it on by its setting{hint}")
    passages = [_Passage(group, rule, scorers, wanted) for group in groups]
    # A task that raises, or a caller who leaves, cancels the others.
    async with asyncio.TaskGroup() as together:
        runs = [together.create_task(passage.run()) for passage in passages]
    rewards = [run.result() for run in runs]
    if all(p.refused is not None for p in passages):
        raise max((p.refused for p in passages if p.refused), key=lambda refused: refused.retry_after)
    return rewards


class _Passage:
    """One group's way through the gate."""

    def __init__(self, group: Group, rule: Rule, scorers: Scorers, wanted: frozenset[str]) -> None:
        self._group = group
        self._rule = rule
        self._scorers = scorers
        self._wanted = wanted
        self._evidence: list[Evidence] = []
        self.refused: Overloaded | None = None

    async def run(self) -> RewardGroup:
        group, rule, scorers = self._group, self._rule, self._scorers
        signals = await asyncio.to_thread(signals_of, group.candidates, group.reference)
        self._evidence = [
            Evidence(blank=not text.strip(), signals=s) for text, s in zip(group.candidates, signals, strict=True)
        ]
        if scorers.verify is not None:
            await self._ask(scorers.verify, [k for k, e in enumerate(self._evidence) if not e.blank])
        if scorers.judge is not None:
            await self._ask(scorers.judge, self._open())
        members = self._open() if rule.variant != "soft" else self._members()
        if scorers.nll is not None and "nll" in self._wanted:
            await self._ask(scorers.nll, members)
        diversity: float | None = None
        if scorers.diversity is not None and "diversity" in self._wanted:
            result = await self._ask(scorers.diversity, self._members())
            diversity = result.diversity if result is not None else 0.0
        return reward(group.id or "", self._evidence, rule, diversity=diversity)

    def _open(self) -> list[int]:
        return [k for k, e in enumerate(self._evidence) if standing(e, self._rule).gate == "open"]

    def _members(self) -> list[int]:
        return [k for k, e in enumerate(self._evidence) if standing(e, self._rule).member]

    async def _ask(self, scorer: Scorer[GroupResult], members: list[int]) -> GroupResult | None:
        """Ask for those candidates and note the answers as evidence; None where nobody was asked or nobody answered."""
        if not members:
            return None
        asked = [only(self._group, members)]
        try:
            results = await scorer.score(asked)
            check_kept(scorer.name, asked, results)
        except Overloaded as refused:
            self.refused = refused
            self._note(scorer.name, members, [_failed(refused)] * len(members))
            return None
        except RewrightError as trouble:
            self._note(scorer.name, members, [_failed(trouble)] * len(members))
            return None
        except Exception:
            log.exception("scorer %s raised", scorer.name)
            self._note(scorer.name, members, [_failed(InternalError(f"{scorer.name} failed"))] * len(members))
            return None
        self._note(scorer.name, members, results[0].candidates)
        return results[0]

    def _note(self, name: str, members: list[int], items: Sequence[Any]) -> None:
        for k, item in zip(members, items, strict=True):
            setattr(self._evidence[k], name, item)


def _failed(trouble: RewrightError) -> Failed:
    # Whatever befell the whole scorer may be over at the next try; only a scorer that is off stays off.
    return Failed.because(trouble.code, trouble.message, retryable=not isinstance(trouble, ScorerOff))
