"""Distributions tell Prometheus what its own histograms would."""

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from rewright.service.ops.distribution import Distribution

BOUNDS = (0, 0.001, 0.5, 1, 1.25, 2)
VALUES = [-1.0, 0.0, 0.001, 0.0011, 0.5, 0.7, 1.0, 1.25, 2.0, 2.0001, 50.0]


def pages(label: str | None) -> tuple[CollectorRegistry, CollectorRegistry, Distribution, Histogram]:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    distribution = Distribution("reward", "What it was.", BOUNDS, registry=ours, label=label)
    histogram = Histogram("reward", "What it was.", (label,) if label else (), registry=theirs, buckets=BOUNDS)
    return ours, theirs, distribution, histogram


def same(ours: CollectorRegistry, theirs: CollectorRegistry) -> bool:
    return generate_latest(ours) == generate_latest(theirs)


def test_without_a_label():
    ours, theirs, distribution, histogram = pages(None)
    assert same(ours, theirs), "before the first value"
    for values in (VALUES, [], VALUES[3:7]):
        distribution.observe(values)
        for value in values:
            histogram.observe(value)
        assert same(ours, theirs)


@pytest.mark.parametrize("order", [("total", "nll"), ("nll", "total")])
def test_by_a_label(order):
    ours, theirs, distribution, histogram = pages("component")
    assert same(ours, theirs), "before the first value"
    for name, values in zip(order, (VALUES, VALUES[:4]), strict=True):
        distribution.observe(values, name)
        for value in values:
            histogram.labels(name).observe(value)
    assert same(ours, theirs)
