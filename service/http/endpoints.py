"""What each endpoint asks of the scorers, and what a group must hold for it."""

from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from rewright.service import schema
from rewright.service.core.admission import Ticket
from rewright.service.core.redaction import redacted
from rewright.service.errors import InvalidRequest, ScorerOff
from rewright.service.mathematics.reasoning.certain_faults import CHECKS
from rewright.service.ops.metrics import Metrics
from rewright.service.reward.pipeline import reward_groups, wanted_scorers
from rewright.service.scorers.base import Scorers, check_contract
from rewright.service.scorers.spec import ScorerSpec

VERSION = version("rewright")
REWARD = "reward"

Work = Callable[[schema.ScoreRequest, Ticket], Coroutine[Any, Any, schema.Answer[Any]]]


class Endpoint(NamedTuple):
    """asks: names of the scorers that a request is answered with. needs: what a group must then hold."""

    name: str
    summary: str
    answer: type[schema.Answer[Any]]
    asks: Callable[[schema.ScoreRequest], Collection[str]]
    needs: Callable[[schema.ScoreRequest], Collection[str]]
    work: Work


class Endpoints:
    """What each endpoint asks of the scorers."""

    def __init__(self, specs: Sequence[ScorerSpec], scorers: Scorers, metrics: Metrics, *, overlap: bool) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._scorers = scorers
        self._metrics = metrics
        self._overlap = overlap

    @property
    def not_scalar(self) -> list[str]:
        """Scorers here that are part of the reward whatever its weights."""
        return [s.name for s in self._scorers if s.name not in self._specs or not self._specs[s.name].scalar]

    def all(self) -> Iterator[Endpoint]:
        """One for each scorer, and the reward's."""
        for spec in self._specs.values():
            yield Endpoint(
                spec.name,
                spec.summary,
                spec.answer,
                asks=partial(_always, [spec.name]),
                needs=partial(_always, spec.needs),
                work=partial(self.scores, spec),
            )
        yield self.of_reward

    @property
    def of_reward(self) -> Endpoint:
        """The reward's."""
        return Endpoint(
            REWARD,
            "The gated reward with every component (eq. 3)",
            schema.RewardAnswer,
            asks=lambda request: wanted_scorers(request.rule),
            needs=self.needs_of_reward,
            work=self.reward,
        )

    async def scores(self, spec: ScorerSpec, request: schema.ScoreRequest, _: Ticket) -> schema.Answer[Any]:
        scorer: Any = self._scorers.get(spec.name)
        if scorer is None:
            setting = f"REWRIGHT_SCORERS__{spec.name.upper()}__WHERE"
            raise ScorerOff(f"/v1/{spec.name} is off here; set {setting} to local or remote")
        results = await scorer.score(request.groups, **{option: getattr(request, option) for option in spec.options})
        groups = check_contract(spec.name, request.groups, results, checked=spec.name in self._scorers.checked)
        self._metrics.note_scores(spec.name, groups)
        return spec.answer.model_construct(groups=groups, served_by=self._served_by([spec.name]))

    async def reward(self, request: schema.ScoreRequest, ticket: Ticket) -> schema.RewardAnswer:
        groups = await reward_groups(
            request.groups,
            request.rule,
            self._scorers,
            overlap=self._overlap,
            watch=self._metrics,
            on_group=ticket.answered,
        )
        by = self._served_by(wanted_scorers(request.rule), request.rule)
        return schema.RewardAnswer.model_construct(groups=groups, served_by=by)

    def needs_of_reward(self, request: schema.ScoreRequest) -> Collection[str]:
        """Fields of a group, `a|b` where one of two will do.

        Raises `InvalidRequest` where the rule weighs what is no scorer of one number per candidate.
        """
        scalars = sorted(name for name, spec in self._specs.items() if spec.scalar)
        if unknown := sorted(set(request.rule.weights) - set(scalars)):
            known = ", ".join(scalars) or "none here"
            raise InvalidRequest(
                f"rule.weights.{unknown[0]}: no scorer of one number per candidate has this name; there are: {known}"
            )
        wanted = wanted_scorers(request.rule)
        checks = ("problem", "reference") if request.rule.reasoning == "checks" else ()
        needs = (need for name, spec in self._specs.items() if name in wanted for need in spec.needs)
        return dict.fromkeys([*checks, *needs])

    def _served_by(self, names: Iterable[str], rule: schema.Rule | None = None) -> schema.ServedBy:
        used = {s.name: redacted(s.describe()) for s in self._scorers if s.name in names}
        if rule is not None and rule.reasoning == "checks":
            used["checks"] = {"checks": CHECKS}
        return schema.ServedBy(version=VERSION, wire=schema.WIRE, rule=rule, scorers=used)


def _always(names: Collection[str], _: schema.ScoreRequest) -> Collection[str]:
    return names
