"""NLL at matched length: eq. 6 is a mean over tokens, which long texts lower by themselves.

Kept completions and references are put into bins of length, in tokens (ten, with as many texts each). Inside a
bin they are compared, and the bins weigh as the completions do. What remains is not the length's doing.

Promises: bins without a reference are left out, and `rows` says how many completions were compared; a 95 % percentile
interval by bootstrap over rows, with a fixed seed. Not covered: differences in length inside a bin.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import DegenerateDataWarning, bootstrap

BINS = 10
RESAMPLES = 500

Numbers = NDArray[np.float64]


def nll_at_matched_length(
    nll: Sequence[float | None],
    length: Sequence[int | None],
    reference_nll: Sequence[float | None],
    reference_length: Sequence[int | None],
    kept: Sequence[bool],
) -> dict[str, Any] | None:
    """All aligned, an entry a row; kept: its completion was written, not the reference. Nats per token.

    None where nothing can be compared."""
    mine, theirs = _numbers(nll), _numbers(reference_nll)
    mine[~np.array(kept, dtype=bool)] = np.nan
    long, references_long = _numbers(length), _numbers(reference_length)
    mine[np.isnan(long)] = np.nan
    theirs[np.isnan(references_long)] = np.nan
    there = np.concatenate([long[~np.isnan(mine)], references_long[~np.isnan(theirs)]])
    if not len(there):
        return None
    edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, long), np.searchsorted(edges, references_long)

    def compared(rows: NDArray[np.int64]) -> tuple[float, float, int]:
        counts, means = _by_bin(bins[0][rows], mine[rows])
        other_counts, other_means = _by_bin(bins[1][rows], theirs[rows])
        weights = np.where(other_counts > 0, counts, 0)
        if not weights.sum():
            return float("nan"), float("nan"), 0
        first, second = (float(np.average(each, weights=weights)) for each in (means, other_means))
        return first, second, int(weights.sum())

    def difference(rows: NDArray[np.int64]) -> float:
        first, second, _ = compared(rows)
        return first - second

    rows = np.arange(len(mine))
    first, second, count = compared(rows)
    if not count:
        return None
    interval = None
    if len(rows) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateDataWarning)
            done = bootstrap(
            (rows,), difference, n_resamples=RESAMPLES, vectorized=False, method="percentile",
            rng=np.random.default_rng(17),
        )  # fmt: skip
        low, high = np.nanquantile(done.bootstrap_distribution, [0.025, 0.975])
        interval = [float(low), float(high)]
    return {"rows": count, "nll": first, "reference_nll": second, "difference": first - second, "interval": interval}


def _numbers(values: Sequence[float | int | None]) -> Numbers:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _by_bin(bins: NDArray[np.int64], values: Numbers) -> tuple[NDArray[np.int64], Numbers]:
    """How many values a bin has, and their mean, 0 where it has none."""
    there = ~np.isnan(values)
    counts = np.bincount(bins[there], minlength=BINS)
    return counts, np.bincount(bins[there], weights=values[there], minlength=BINS) / np.maximum(counts, 1)
