"""Differences between methods that answered the same questions, with intervals by bootstrap over questions.

Questions are drawn with replacement inside each benchmark, and every method is measured on the same draw: what makes a
question hard for all of them falls out of their differences. Where a method has several seeds, its seeds are drawn too,
and each question's share of right answers is their mean. Percentile intervals of 95 %, by `scipy.stats.bootstrap`.

    Math↑ = 100 · (MathAvg − MathAvg of the base) / MathAvg of the base      Gen↓ likewise, what was lost

Promises: only questions that every compared run has a verdict for, which are counted; a quantity that has no value in
some draw (a base without a right answer) has no interval.

Not covered: that benchmarks are themselves a choice; seeds beyond those that were run.
"""

import warnings
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

RESAMPLES = 2_000
LEVEL = 0.95
_AT_ONCE = 2_000_000
"""Answers that are gathered at once."""

Shares = NDArray[np.float64]
"""1 for right and 0 for wrong, shape [seeds, questions]."""
Verdicts = Mapping[str, tuple[str, bool]]
"""Of one run, by question: its benchmark, and whether the answer is right."""


class Interval(NamedTuple):
    """low, high: None where some draw has no value."""

    value: float | None
    low: float | None
    high: float | None


class Averages(NamedTuple):
    """Of one draw, or of many along the last axis: each method's MathAvg and GeneralAvg, shares in [0, 1]."""

    math: Mapping[Hashable, Shares]
    general: Mapping[Hashable, Shares]

    def math_up(self, method: Hashable, base: Hashable) -> Shares:
        """Percent of the base's average."""
        return 100 * (self.math[method] - self.math[base]) / self.math[base]

    def gen_down(self, method: Hashable, base: Hashable) -> Shares:
        """Percent of the base's average; positive is lost."""
        return 100 * (self.general[base] - self.general[method]) / self.general[base]


Quantity = Callable[[Averages], Shares]


class Aligned(NamedTuple):
    """right: by method and benchmark, over the same questions in the same order; left_out: questions that some run has
    no verdict for."""

    right: dict[Hashable, dict[str, Shares]]
    questions: int
    left_out: int


def aligned(runs: Mapping[Hashable, Sequence[Verdicts]]) -> Aligned:
    """runs: the seeds of each method, at least one."""
    every = [run for seeds in runs.values() for run in seeds]
    asked = {name: benchmark for run in every for name, (benchmark, _) in run.items()}
    common = sorted(name for name in asked if all(name in run for run in every))
    by_benchmark: dict[str, list[str]] = {}
    for name in common:
        by_benchmark.setdefault(asked[name], []).append(name)
    right = {
        method: {
            benchmark: np.array([[float(run[name][1]) for name in names] for run in seeds])
            for benchmark, names in by_benchmark.items()
        }
        for method, seeds in runs.items()
    }
    return Aligned(right, len(common), len(asked) - len(common))


def intervals(
    right: Mapping[Hashable, Mapping[str, Shares]],
    quantities: Mapping[str, Quantity],
    *,
    math: Sequence[str],
    general: Sequence[str],
    resamples: int = RESAMPLES,
    seed: int = 17,
) -> dict[str, Interval]:
    """quantities: by name. math, general: the benchmarks of either average; those without two questions are left out.

    Every method has the same benchmarks and questions. A quantity of an average without benchmarks has no value."""
    if not quantities:
        return {}
    sizes = {name: shares.shape[1] for name, shares in next(iter(right.values())).items() if shares.shape[1] > 1}
    if not sizes:
        return dict.fromkeys(quantities, Interval(None, None, None))
    several = [method for method, of in right.items() if next(iter(of.values())).shape[0] > 1]
    data = [np.arange(size) for size in sizes.values()]
    data += [np.arange(next(iter(right[method].values())).shape[0]) for method in several]

    def statistic(*drawn: NDArray[np.int64], axis: int = -1) -> Shares:
        questions = dict(zip(sizes, drawn, strict=False))
        seeds = dict(zip(several, drawn[len(sizes) :], strict=True))
        means = {
            method: {name: _mean(of[name], questions[name], seeds.get(method)) for name in sizes}
            for method, of in right.items()
        }
        found = Averages(_average(means, math), _average(means, general))
        return np.stack([quantity(found) for quantity in quantities.values()])

    largest = sum(sizes.values()) * max(next(iter(of.values())).shape[0] for of in right.values())
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateDataWarning)
        values = statistic(*data)
        done = bootstrap(
            data,
            statistic,
            n_resamples=resamples,
            batch=max(1, _AT_ONCE // largest),
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
        # scipy's own interval is nothing where all draws are alike: two methods that answered the same.
        low, high = np.quantile(done.bootstrap_distribution, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    return {name: _interval(values[n], low[n], high[n]) for n, name in enumerate(quantities)}


def _mean(shares: Shares, questions: NDArray[np.int64], seeds: NDArray[np.int64] | None) -> Shares:
    if seeds is None:
        return np.asarray(shares[0][questions].mean(axis=-1))
    return np.asarray(shares[seeds[..., :, None], questions[..., None, :]].mean(axis=(-2, -1)))


def _average(means: Mapping[Hashable, Mapping[str, Shares]], names: Sequence[str]) -> dict[Hashable, Shares]:
    found = {}
    for method, of in means.items():
        there = [of[name] for name in names if name in of]
        found[method] = np.mean(there, axis=0) if there else np.full_like(next(iter(of.values())), np.nan)
    return found


def _interval(value: float, low: float, high: float) -> Interval:
    if not np.isfinite(value):
        return Interval(None, None, None)
    known = bool(np.isfinite(low) and np.isfinite(high))
    return Interval(float(value), float(low) if known else None, float(high) if known else None)
