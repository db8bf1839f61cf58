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
from rewright.service.ops.scorer_collector import ScorerState
from rewright.service.schema import (
    Failed,
    GroupScores,
    RewardFailed,
    RewardGroup,
    RewardScored,
    ScalarScored,
)
from rewright.service.scorers.base import Scorers

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a metric that nobody reads
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
            "total": Histogram(
                "rewright_total",
                "Total reward (eq. 3).",
                registry=self._registry,
                buckets=(0, 0.5, 1, 1.25, 1.5, 1.75, 2, 3),
            ),
            "nll": Histogram(
                "rewright_nll",
                "NLL of members, nats per token (eq. 6).",
                registry=self._registry,
                buckets=(0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 3, 5),
            ),
            "r_dist": Histogram(
                "rewright_r_dist",
                "eq. 8.",
                registry=self._registry,
                buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
            ),
            "r_div": Histogram(
                "rewright_r_div",
                "eq. 12.",
                registry=self._registry,
                buckets=(0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
            ),
        }
        self._scalars = Summary("rewright_scalar", "Numbers of further scorers.", ("scorer",), registry=self._registry)
        self._means = self._by_component("rewright_group_mean", "Mean in a group of at least two.")
        self._deviations = self._by_component("rewright_group_std", "Population deviation in a group of at least two.")
        self._registry.register(ScorerState(scorers, admission))

    def _by_component(self, name: str, text: str) -> Histogram:
        buckets = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5)
        return Histogram(name, text, ("component",), registry=self._registry, buckets=buckets)

    def note_refusal(self, endpoint: str, code: str) -> None:
        """Count a request that got an error instead of scores."""
        self._refusals.labels(endpoint, code).inc()

    def note_dropped(self, candidates: int) -> None:
        """Count NLL scores that were computed beside the judge and not needed."""
        self._dropped.inc(candidates)

    def note_scores(self, name: str, groups: Sequence[GroupScores[Any]]) -> None:
        """Count what a scorer said, whichever endpoint asked it."""
        items = [item for group in groups for item in group.candidates]
        failed = [item.error.code for item in items if isinstance(item, Failed)]
        self._scores.labels(name, "scored").inc(len(items) - len(failed))
        for code, count in Tally(failed).items():
            self._scores.labels(name, code).inc(count)
        verdicts = Tally(verdict for item in items if (verdict := getattr(item, "verdict", None)) is not None)
        for verdict, count in verdicts.items():
            self._verdicts.labels(name, verdict).inc(count)
        for item in items:
            if isinstance(item, ScalarScored):
                self._scalars.labels(name).observe(item.score)

    def note_groups(self, endpoint: str, groups: Iterable[GroupScores[Any]]) -> None:
        """Count one answer's outcomes and observe its components."""
        outcomes: Tally[str] = Tally()
        gates: Tally[str] = Tally()
        for group in groups:
            for item in group.candidates:
                outcomes[item.error.code if isinstance(item, Failed | RewardFailed) else "scored"] += 1
                if isinstance(item, RewardScored):
                    gates[item.gate] += 1
            if isinstance(group, RewardGroup):
                self._observe(group)
        for outcome, count in outcomes.items():
            self._items.labels(endpoint, outcome).inc(count)
        for gate, count in gates.items():
            self._gates.labels(gate).inc(count)

    def _observe(self, group: RewardGroup) -> None:
        for name, histogram in self._components.items():
            values = [value for item in group.candidates if (value := getattr(item, name)) is not None]
            for value in values:
                histogram.observe(value)
            if len(values) > 1:
                mean = sum(values) / len(values)
                self._means.labels(name).observe(mean)
                deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
                self._deviations.labels(name).observe(deviation)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self._registry)
