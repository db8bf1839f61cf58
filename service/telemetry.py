"""What can be seen of the service: metric names, request ids, JSON logs.

Metrics live in a registry of their own per app, so that two apps in one process do not mix. Logs at the default level
hold ids, codes, counts and times, never a problem, a candidate or a key.
"""

import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.schema import Failed, GroupScores, RewardFailed, RewardGroup, RewardScored
from service.scorers.contract import Scorers, Staged

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a metric that nobody reads
_SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


def adopt_request_id(given: str | None) -> str:
    """The caller's X-Request-Id where it is harmless in a log, else a new one; noted for this context's logs."""
    chosen = given if given is not None and _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
    request_id.set(chosen)
    return chosen


class Metrics:
    """Prometheus metrics of one app."""

    def __init__(self, scorers: Scorers) -> None:
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
        self._verdicts = Counter(
            "rewright_verdicts", "Verdicts of verify and judge.", ("endpoint", "verdict"), registry=self._registry
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
        self._registry.register(_ScorerState(scorers))

    def note_groups(self, endpoint: str, groups: Iterable[GroupScores[Any]]) -> None:
        """Count one answer's outcomes and observe its components."""
        for group in groups:
            for item in group.candidates:
                failed = isinstance(item, Failed | RewardFailed)
                self._items.labels(endpoint, item.error.code if failed else "scored").inc()
                if isinstance(item, RewardScored):
                    self._gates.labels(item.gate).inc()
                if (verdict := getattr(item, "verdict", None)) is not None:
                    self._verdicts.labels(endpoint, verdict).inc()
                if isinstance(group, RewardGroup):
                    for name, histogram in self._components.items():
                        if (value := getattr(item, name)) is not None:
                            histogram.observe(value)

    def exposition(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self._registry)


class _ScorerState(Collector):
    """Read when scraped: how long ago each scorer last finished work, and what its stages cost."""

    def __init__(self, scorers: Scorers) -> None:
        self._scorers = scorers

    def collect(self) -> Iterable[Metric]:
        idle = GaugeMetricFamily(
            "rewright_scorer_idle_seconds", "Seconds since a scorer last finished work.", labels=["scorer"]
        )
        for scorer in self._scorers:
            if (worked := scorer.last_worked()) is not None:
                idle.add_metric([scorer.name], time.monotonic() - worked)
        yield idle
        labels = ["scorer", "stage"]
        items = CounterMetricFamily("rewright_stage_items", "Items that ended in a stage of a scorer.", labels=labels)
        seconds = CounterMetricFamily("rewright_stage_seconds", "Seconds spent in a stage of a scorer.", labels=labels)
        for scorer in self._scorers:
            if isinstance(scorer, Staged):
                for stage, cost in scorer.stage_costs().items():
                    items.add_metric([scorer.name, stage], cost.items)
                    seconds.add_metric([scorer.name, stage], cost.seconds)
        yield items
        yield seconds


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: str) -> None:
    """Send every log of the process to stderr, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "sentence_transformers", "transformers", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
