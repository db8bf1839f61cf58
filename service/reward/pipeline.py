"""One group through the gate: verify all → judge those correct → nll on the members → diversity on those still there.

What judges is the rule's `reasoning`: the judge, certain checks without a model, or nobody, and then v_rea is 1.

Runs the scorers in gate order, asks each only for the candidates that still need it, and hands the evidence to
`rewright.service.reward.rule`. Further scorers that the rule weighs come after the NLL, side by side. Diversity comes
last because its set must be exact: a candidate that the NLL finds too long, or fails on, is no member. Groups flow
through on their own, so that while one waits for its judge another uses the device; of one request so many at a time
that others get their turn. With `overlap` the NLL of answer-correct candidates starts while the judge is out; what the
judge then rejects is dropped, so that the answer is the same.

Trouble of a whole scorer in the middle of a group becomes `Failed` items; it raises only where no group got anywhere.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from rewright.service.core.logs import exception_location
from rewright.service.errors import InternalError, Overloaded, RewrightError, ScorerOff
from rewright.service.mathematics.reasoning.certain_faults import certain_fault
from rewright.service.reward.rule import Evidence, reward, standing, uses_dist, uses_div, uses_scalar
from rewright.service.reward.signals import signals_of
from rewright.service.schema import Failed, Group, GroupScores, JudgeScored, RewardGroup, Rule
from rewright.service.scorers.base import Scorer, Scorers, check_contract, failed, select_candidates

log = logging.getLogger(__name__)
GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])

GROUPS_AT_ONCE = 256
"""Groups of one request under way together: enough to fill any device, few enough not to hold the event loop."""
_SOUND = JudgeScored(valid=True, score=None, verdict="valid")
_FAULTY = JudgeScored(valid=False, score=0.0, verdict="invalid")
_AT_ONCE = 50_000  # characters whose signals are counted on the event loop itself; more go to a thread


class Watch(Protocol):
    """Who wants to know what the scorers said on the way."""

    def note_scores(self, name: str, groups: Sequence[GroupScores[Any]]) -> None: ...

    def note_dropped(self, candidates: int) -> None:
        """NLL scores that the judge's verdict made useless."""


def wanted_scorers(rule: Rule) -> frozenset[str]:
    """Names of the scorers that /v1/reward needs under this rule (method: "Variants")."""
    wanted = {"verify", "judge"} if rule.reasoning == "judge" else {"verify"}
    if uses_dist(rule) or not rule.skip_unused:
        wanted.add("nll")
    if uses_div(rule) or not rule.skip_unused:
        wanted.add("diversity")
    return frozenset(wanted | {name for name in rule.weights if uses_scalar(rule, name) or not rule.skip_unused})


async def reward_groups(
    groups: Sequence[Group],
    rule: Rule,
    scorers: Scorers,
    *,
    overlap: bool = False,
    watch: Watch | None = None,
    on_group: Callable[[int], None] = lambda candidates: None,
) -> list[RewardGroup]:
    """Rewards of all groups, in order. on_group: told a group's number of candidates when it is done.

    Raises `ScorerOff` where the rule needs a scorer that is off, and `Overloaded` where no group got past a full queue.
    """
    wanted = wanted_scorers(rule)
    missing = sorted(wanted - {scorer.name for scorer in scorers})
    if missing:
        hint = "" if rule.skip_unused else "; or set rule.skip_unused if the variant does not use it"
        hint += "; or let rule.reasoning be checks or off" if "judge" in missing else ""
        raise ScorerOff(f"/v1/reward needs {', '.join(missing)}, which is off here; turn it on by its setting{hint}")
    pipelines = [GroupPipeline(group, rule, scorers, wanted, overlap=overlap, watch=watch) for group in groups]
    rewards: list[RewardGroup | None] = [None] * len(groups)

    async def walk(places: Iterator[int]) -> None:
        for k in places:
            rewards[k] = await pipelines[k].run()
            on_group(len(groups[k].candidates))

    places = iter(range(len(groups)))
    # A task that raises, or a caller who leaves, cancels the others.
    async with asyncio.TaskGroup() as together:
        for _ in range(min(GROUPS_AT_ONCE, len(groups))):
            together.create_task(walk(places))
    if all(p.refused is not None for p in pipelines):
        raise max((p.refused for p in pipelines if p.refused), key=lambda refused: refused.retry_after)
    return [done for done in rewards if done is not None]


class GroupPipeline:
    """One group's way through the gate."""

    def __init__(
        self,
        group: Group,
        rule: Rule,
        scorers: Scorers,
        wanted: frozenset[str],
        *,
        overlap: bool,
        watch: Watch | None,
    ) -> None:
        self._group = group
        self._rule = rule
        self._scorers = scorers
        self._nll = scorers.get("nll") if "nll" in wanted else None
        self._diversity = scorers.get("diversity") if "diversity" in wanted else None
        self._scalars = [scorer for scorer in scorers if scorer.name in rule.weights and scorer.name in wanted]
        # `soft` asks π0 about every candidate anyway.
        waits = rule.reasoning == "judge" and rule.variant != "soft"
        self._overlap = overlap and self._nll is not None and waits
        self._watch = watch
        self._evidence: list[Evidence] = []
        self.refused: Overloaded | None = None

    async def run(self) -> RewardGroup:
        group = self._group
        if sum(map(len, group.candidates)) > _AT_ONCE:
            signals = await asyncio.to_thread(signals_of, group.candidates, group.reference)
        else:
            signals = signals_of(group.candidates, group.reference)
        self._evidence = [
            Evidence(blank=not text.strip(), signals=s) for text, s in zip(group.candidates, signals, strict=True)
        ]
        await self._ask(self._scorers["verify"], [k for k, e in enumerate(self._evidence) if not e.blank])
        if self._overlap:
            await self._judge_beside_nll()
        else:
            await self._judge(self._open())
            if self._nll is not None:
                await self._ask(self._nll, self._open() if self._rule.variant != "soft" else self._members())
        if self._scalars:
            members = self._members()
            answers = await asyncio.gather(*(self._answers(scorer, members) for scorer in self._scalars))
            for scorer, items in zip(self._scalars, answers, strict=True):
                for k, item in zip(members, items, strict=True):
                    self._evidence[k].scalars[scorer.name] = item
        diversity: float | None = None
        if self._diversity is not None:
            result = await self._ask(self._diversity, self._members())
            diversity = result.diversity if result is not None else 0.0
        return reward(group.id or "", self._evidence, self._rule, diversity=diversity)

    async def _judge(self, members: list[int]) -> None:
        if self._rule.reasoning == "judge":
            await self._ask(self._scorers["judge"], members)
        elif self._rule.reasoning == "checks":
            faults = await asyncio.to_thread(self._certain_faults, members)
            self._note("judge", members, [_SOUND if fault is None else _FAULTY for fault in faults])
        else:
            self._note("judge", members, [_SOUND] * len(members))

    def _certain_faults(self, members: list[int]) -> list[str | None]:
        group = self._group
        return [
            certain_fault(problem=group.problem or "", reference=group.reference or "", candidate=group.candidates[k])
            for k in members
        ]

    async def _judge_beside_nll(self) -> None:
        asked = self._open()
        judging = asyncio.create_task(self._judge(asked))
        try:
            nll = await self._answers(self._nll, asked) if self._nll is not None else []
            await judging
        finally:
            judging.cancel()
        # Only now, so that what stands open is what the judge left open.
        still = set(self._open())
        self._note("nll", [k for k in asked if k in still], [i for k, i in zip(asked, nll, strict=True) if k in still])
        if self._watch is not None and len(still) < len(asked):
            self._watch.note_dropped(len(asked) - len(still))

    def _open(self) -> list[int]:
        return [k for k, e in enumerate(self._evidence) if standing(e, self._rule).gate == "open"]

    def _members(self) -> list[int]:
        return [k for k, e in enumerate(self._evidence) if standing(e, self._rule).member]

    async def _ask(self, scorer: Scorer[GroupResult], members: list[int]) -> GroupResult | None:
        """Ask for those candidates and note the answers as evidence; None where nobody was asked or nobody answered."""
        result = await self._result(scorer, members)
        if isinstance(result, Failed):
            self._note(scorer.name, members, [result] * len(members))
            return None
        if result is not None:
            self._note(scorer.name, members, result.candidates)
        return result

    async def _answers(self, scorer: Scorer[Any], members: list[int]) -> Sequence[Any]:
        """One item per member, noted nowhere."""
        result = await self._result(scorer, members)
        return [result] * len(members) if result is None or isinstance(result, Failed) else result.candidates

    async def _result(self, scorer: Scorer[GroupResult], members: list[int]) -> GroupResult | Failed | None:
        """What the scorer says of those candidates: None for no candidate, `Failed` where the whole scorer failed."""
        if not members:
            return None
        asked = [select_candidates(self._group, members)]
        try:
            results = await scorer.score(asked)
            results = check_contract(scorer.name, asked, results, checked=scorer.name in self._scorers.checked)
        except RewrightError as trouble:
            if isinstance(trouble, Overloaded):
                self.refused = trouble
            return failed(trouble)
        except Exception as error:
            # Neither message nor traceback: both may quote a text.
            log.error("scorer %s raised %s", scorer.name, exception_location(error))
            return failed(InternalError(f"{scorer.name} failed"))
        if self._watch is not None:
            self._watch.note_scores(scorer.name, results)
        return results[0]

    def _note(self, name: str, members: list[int], items: Sequence[Any]) -> None:
        for k, item in zip(members, items, strict=True):
            setattr(self._evidence[k], name, item)
