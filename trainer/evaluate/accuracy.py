"""From verdicts to the paper's table: accuracy with Wilson intervals, MathAvg, GeneralAvg, OverallAvg, Math↑, Gen↓.

Promises: an answer that could not be verified is counted apart and is in no accuracy, as right or as wrong; one that
states nothing is not right, and is counted apart from the wrong ones, those that were cut off before apart again; an
average names the benchmarks that it is over; what is compared with a base is taken over benchmarks that both have.

All accuracies are shares in [0, 1]; Math↑ and Gen↓ are percent of the base's average (caption of Table 1).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.trainer.evaluate.benchmarks import GENERAL, MATH

Z = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""


def wilson(correct: int, scored: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share; (0, 1) where nothing was scored."""
    if scored == 0:
        return 0.0, 1.0
    share, z2 = correct / scored, Z * Z
    middle = (share + z2 / (2 * scored)) / (1 + z2 / scored)
    half = Z * math.sqrt(share * (1 - share) / scored + z2 / (4 * scored * scored)) / (1 + z2 / scored)
    return max(0.0, middle - half), min(1.0, middle + half)


def benchmark_result(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """rows: of one benchmark, each with `status`, and `correct` or `error`, and the generation's own columns."""
    scored = [row for row in rows if row["status"] == "scored"]
    correct = sum(bool(row["correct"]) for row in scored)
    low, high = wilson(correct, len(scored))
    return {
        "questions": len(rows),
        "scored": len(scored),
        "correct": correct,
        "accuracy": correct / len(scored) if scored else None,
        "interval": [low, high],
        "not_verified": dict(Counter(row["error"]["code"] for row in rows if row["status"] != "scored")),
        "verdicts": dict(Counter(row["verdict"] for row in scored)),
        "unstated": sum(row["verdict"] == "unstated" for row in scored),
        "unstated_cut_off": sum(row["verdict"] == "unstated" and row["finish_reason"] == "length" for row in scored),
        "cut_off": sum(row["finish_reason"] == "length" for row in rows),
        "mean_tokens": sum(row["n_tokens"] for row in rows) / len(rows),
    }


def averages(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """MathAvg and GeneralAvg: plain means over benchmarks; OverallAvg: the mean of the two (caption of Table 1)."""
    math_avg, general_avg = _mean(results, MATH), _mean(results, GENERAL)
    values = [average["value"] for average in (math_avg, general_avg)]
    overall = sum(values) / 2 if None not in values else None
    return {"MathAvg": math_avg, "GeneralAvg": general_avg, "OverallAvg": overall}


def against_base(results: Mapping[str, Mapping[str, Any]], base: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Math↑ and Gen↓ in percent; None where the base's average is 0 or there is nothing in common."""
    common = {name: results[name] for name in results if name in base and base[name]["accuracy"] is not None}
    mine, theirs = averages(common), averages({name: base[name] for name in common})
    up, down = (_change(mine[name]["value"], theirs[name]["value"]) for name in ("MathAvg", "GeneralAvg"))
    return {"math_up": up, "gen_down": -down if down is not None else None, "benchmarks": sorted(common)}


def _mean(results: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """half_width: of a 95 % interval, benchmarks taken as independent; shares moved towards 1/2 by two and two answers,
    so that a benchmark without a right answer is not taken for certain."""
    there = {name: results[name] for name in names if name in results and results[name]["accuracy"] is not None}
    if not there:
        return {"value": None, "half_width": None, "benchmarks": []}
    shares = [((r["correct"] + 2) / (r["scored"] + 4), r["scored"] + 4) for r in there.values()]
    variance = sum(p * (1 - p) / n for p, n in shares) / len(there) ** 2
    value = sum(r["accuracy"] for r in there.values()) / len(there)
    return {"value": value, "half_width": Z * math.sqrt(variance), "benchmarks": list(there)}


def _change(value: float | None, base: float | None) -> float | None:
    return (value - base) / base * 100 if value is not None and base else None
