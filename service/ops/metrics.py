"""Metrics of what was asked and answered; docs/serving.md lists every name.

They live in a registry of their own per app, so that two apps in one process do not mix. What the scorers know of
themselves is read when scraped (`rewright.service.ops.scorer_collector`). Logs are in `rewright.service.core.logs`.
"""

import math
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary, disable_created_metrics, generate_latest

from rewright.service.core.admission import Admission
from rewright.service.ops.distribution import Distribution
from rewright.service.ops.lobby_collector import Lobby, LobbyState
from rewright.service.ops.scorer_collector import ScorerState
from rewright.service.schema import GroupScores, RewardGroup, ScalarScored
from rewright.service.scorers.base import Scorers

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a metric that nobody reads
_COMPONENTS = {
    "total": ("Total reward (eq. 3).", (0, 0.5, 1, 1.25, 1.5, 1.75, 2, 3)),
    "nll": ("NLL of members, nats per token (eq. 6).", (0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5)),
    "r_dist": ("eq. 8.", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    "r_div": ("eq. 12.", (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
}
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Prometheus metrics of one app."""

    def __init__(self, scorers: Scorers, admission: Admission) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "rewright_requests", "Requests by path and status.", ("path", "status"), registry=self._registry
        )
        self.request_seconds = Histogram(
            "rewright_request_seconds", "Time to answer.", ("path",), buckets=_SECONDS, registry=self._registry
        )
        self._items = Counter(
            "rewright_candidates",
            "Candidates by endpoint and outcome: scored, or the code of the failure.",
            ("endpoint", "outcome"),
            registry=self._registry,
        )
        self._scores = Counter(
            "rewright_scores",
            "Candidates by scorer and outcome, whichever endpoint asked: scored, or the code of the failure.",
            ("scorer", "outcome"),
            registry=self._registry,
        )
        self._verdicts = Counter(
            "rewright_verdicts", "Verdicts of scorers that give one.", ("endpoint", "verdict"), registry=self._registry
        )
        self._refusals = Counter(
            "rewright_refusals", "Requests not scored, by code.", ("endpoint", "code"), registry=self._registry
        )
        self._dropped = Counter(
            "rewright_nll_dropped", "NLL scores made useless by the judge's verdict.", registry=self._registry
        )
        self._gates = Counter(
            "rewright_gates",
            "Rewarded candidates by gate: open, or why it is shut.",
            ("gate",),
            registry=self._registry,
        )
        self._components = {
            name: Distribution(f"rewright_{name}", text, bounds, registry=self._registry)
            for name, (text, bounds) in _COMPONENTS.items()
        }
        self._scalars = Summary("rewright_scalar", "Numbers of further scorers.", ("scorer",), registry=self._registry)
        self._means = self._by_component("rewright_group_mean", "Mean in a group of at least two.")
        self._deviations = self._by_component("rewright_group_std", "Population deviation in a group of at least two.")
        self._registry.register(ScorerState(scorers, admission))

    def show_lobby(self, lobby: Lobby) -> None:
        """Show how full it is, and what became of its groups."""
        self._registry.register(LobbyState(lobby))

    def _by_component(self, name: str, text: str) -> Distribution:
        bounds = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)
        return Distribution(name, text, bounds, registry=self._registry, label="component")

    def note_refusal(self, endpoint: str, code: str) -> None:
        """Count a request that got an error instead of scores."""
        self._refusals.labels(endpoint, code).inc()

    def note_dropped(self, candidates: int) -> None:
        """Count NLL scores that were computed beside the judge and not needed."""
        self._dropped.inc(candidates)

    def note_scores(self, name: str, groups: Sequence[GroupScores[Any]]) -> None:
        """Count what a scorer said, whichever endpoint asked it."""
        # By status and by fields: asking a model whether it is of another class costs more than all the rest.
        items = [item for group in groups for item in group.candidates]
        failed = [item.error.code for item in items if item.status == "failed"]
        self._scores.labels(name, "scored").inc(len(items) - len(failed))
        for code, count in Tally(failed).items():
            self._scores.labels(name, code).inc(count)
        verdicts = [verdict for item in items if (verdict := vars(item).get("verdict")) is not None]
        for verdict, count in Tally(verdicts).items():
            self._verdicts.labels(name, verdict).inc(count)
        scalar = {kind for kind in set(map(type, items)) if issubclass(kind, ScalarScored)}
        if numbers := [item.score for item in items if type(item) in scalar] if scalar else []:
            scalars = self._scalars.labels(name)
            for number in numbers:
                scalars.observe(number)

    def note_groups(self, endpoint: str, groups: Iterable[GroupScores[Any]]) -> None:
        """Count one answer's outcomes and observe its components."""
        outcomes: list[str] = []
        gates: list[str] = []
        for group in groups:
            outcomes += [item.error.code if item.status == "failed" else "scored" for item in group.candidates]
            if isinstance(group, RewardGroup):
                gates += [item.gate for item in group.candidates if item.status == "scored"]
                self._observe(group)
        for outcome, count in Tally(outcomes).items():
            self._items.labels(endpoint, outcome).inc(count)
        for gate, count in Tally(gates).items():
            self._gates.labels(gate).inc(count)

    def _observe(self, group: RewardGroup) -> None:
        for name, distribution in self._components.items():
            values = [value for item in group.candidates if (value := getattr(item, name)) is not None]
            distribution.observe(values)
            if len(values) > 1:
                mean = sum(values) / len(values)
                self._means.observe([mean], name)
                deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
                self._deviations.observe([deviation], name)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self._registry)
