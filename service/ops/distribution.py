"""A Prometheus histogram that takes many values at once.

Four numbers of every candidate are counted on the gateway's event loop, where `prometheus_client.Histogram` would cost
more than the reward itself: it locks twice and searches its buckets one by one for each value. Here they are counted
where they fall, and put into words when scraped.

Not covered: threads. Values are noted and scraped on the event loop alone.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Distribution(Collector):
    """Counts by bucket. bounds: the upper end of each bucket but the last, ascending. label: name of its one label."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], *, registry: CollectorRegistry, label: str | None = None
    ) -> None:
        self._name = name
        self._text = text
        self._bounds = [float(bound) for bound in bounds]
        self._label = label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        if label is None:
            self.observe([])
        registry.register(self)

    def observe(self, values: Sequence[float], label: str = "") -> None:
        """Count finite values, under that label where there is one."""
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0] * (len(self._bounds) + 1)
        total = self._sums.get(label, 0.0)
        for value in values:
            counts[bisect_left(self._bounds, value)] += 1
            total += value
        self._sums[label] = total

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=[self._label] if self._label else [])
        ends = [*map(floatToGoString, self._bounds), "+Inf"]
        for label, counts in self._counts.items():
            below, buckets = 0, []
            for end, count in zip(ends, counts, strict=True):
                below += count
                buckets.append((end, below))
            family.add_metric([label] if self._label else [], buckets, self._sums[label])
        yield family
