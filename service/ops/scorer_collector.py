"""What is read from the scorers when metrics are scraped: queues, batches, caches, replicas and stages."""

import time
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rewright.service.core.admission import Admission
from rewright.service.scorers.base import Caching, Queued, Replicated, Scorers, Staged, layers

_QUEUE_GAUGES = {
    "waiting": ("rewright_queue_depth", "Items waiting in a scorer's own queue."),
    "waiting_cost": ("rewright_queue_cost", "What waits there, in tokens (models) or candidates (remote)."),
    "oldest_wait_s": ("rewright_queue_oldest_seconds", "How long the oldest of them has waited."),
}
_QUEUE_COUNTERS = {
    "batches": ("rewright_batches", "Batches worked on."),
    "batch_items": ("rewright_batch_items", "Items in those batches."),
    "batch_cost": ("rewright_batch_tokens", "Tokens in those batches."),
    "busy_s": ("rewright_device_seconds", "Seconds spent in batches."),
}


class ScorerState(Collector):
    def __init__(self, scorers: Scorers, admission: Admission) -> None:
        self._scorers = scorers
        self._admission = admission

    def collect(self) -> Iterable[Metric]:
        yield from self._liveness()
        yield from self._queues()
        yield from self._stages()
        yield from self._caches()
        yield from self._replicas()

    def _liveness(self) -> Iterator[Metric]:
        idle = GaugeMetricFamily(
            "rewright_scorer_idle_seconds", "Seconds since a scorer last finished work.", labels=["scorer"]
        )
        for scorer in self._scorers:
            if (worked := scorer.last_worked()) is not None:
                idle.add_metric([scorer.name], time.monotonic() - worked)
        yield idle
        waiting = GaugeMetricFamily(
            "rewright_waiting_candidates", "Candidates let in and not answered yet.", labels=["scorer"]
        )
        rate = GaugeMetricFamily(
            "rewright_rate_candidates", "Candidates a second that a scorer was last measured at.", labels=["scorer"]
        )
        for name, load in self._admission.loads.items():
            waiting.add_metric([name], load.inside)
            if load.rate is not None:
                rate.add_metric([name], load.rate)
        yield waiting
        yield rate

    def _queues(self) -> Iterator[Metric]:
        states = [(s.name, s.queue_state()) for s in layers(self._scorers) if isinstance(s, Queued)]
        for field, (name, text) in _QUEUE_GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["scorer"])
            for scorer, state in states:
                gauge.add_metric([scorer], getattr(state, field))
            yield gauge
        for field, (name, text) in _QUEUE_COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=["scorer"])
            for scorer, state in states:
                counter.add_metric([scorer], getattr(state, field))
            yield counter

    def _stages(self) -> Iterator[Metric]:
        labels = ["scorer", "stage"]
        items = CounterMetricFamily("rewright_stage_items", "Items that ended in a stage of a scorer.", labels=labels)
        seconds = CounterMetricFamily("rewright_stage_seconds", "Seconds spent in a stage of a scorer.", labels=labels)
        for scorer in layers(self._scorers):
            if isinstance(scorer, Staged):
                for stage, cost in scorer.stage_costs().items():
                    items.add_metric([scorer.name, stage], cost.items)
                    seconds.add_metric([scorer.name, stage], cost.seconds)
        yield items
        yield seconds

    def _caches(self) -> Iterator[Metric]:
        looked = CounterMetricFamily(
            "rewright_cache_lookups", "Texts looked up in the score cache.", labels=["scorer", "found"]
        )
        errors = CounterMetricFamily("rewright_cache_errors", "Calls that the shared cache failed.", labels=["scorer"])
        for scorer in layers(self._scorers):
            if isinstance(scorer, Caching):
                state = scorer.cache_state()
                for found in ("here", "shared", "nowhere"):
                    looked.add_metric([scorer.name, found], getattr(state, found))
                errors.add_metric([scorer.name], state.errors)
        yield looked
        yield errors

    def _replicas(self) -> Iterator[Metric]:
        count = GaugeMetricFamily(
            "rewright_replicas", "Replicas of a remote scorer, or servers of a judge.", labels=["scorer", "state"]
        )
        retries = CounterMetricFamily(
            "rewright_replica_retries",
            "Groups (of a judge: calls) sent again after a replica failed them.",
            labels=["scorer"],
        )
        for scorer in layers(self._scorers):
            if isinstance(scorer, Replicated):
                state = scorer.replica_state()
                count.add_metric([scorer.name, "well"], state.well)
                count.add_metric([scorer.name, "away"], state.away)
                count.add_metric([scorer.name, "different"], state.different)
                retries.add_metric([scorer.name], state.retries)
        yield count
        yield retries
