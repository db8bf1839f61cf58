"""Paired differences: against simulations whose truth is known, and by hand where nothing is drawn."""

import numpy as np
import pytest

from rewright.trainer.report.paired import aligned, intervals

QUANTITIES = {
    "gap": lambda a: a.gen_down("sft", "base") - a.gen_down("agent", "base"),
    "up": lambda a: a.math_up("agent", "base"),
}


def simulated(dice, *, seeds=1, questions=150):
    """Questions of their own difficulty each; sft answers 10 points worse than the base, agent 2.5."""
    hard = 0.15 + 0.7 * dice.beta(2, 2, questions)
    chance = {"base": hard, "sft": hard - 0.1, "agent": hard - 0.025}
    return {m: {"MMLU": (dice.random((seeds, questions)) < p).astype(float)} for m, p in chance.items()}


TRUTH = 100 * (0.1 - 0.025) / 0.5


def covered(seeds, draws):
    dice = np.random.default_rng(1)
    hits = 0
    for draw in range(draws):
        right = simulated(dice, seeds=seeds)
        found = intervals(right, {"gap": QUANTITIES["gap"]}, math=(), general=("MMLU",), resamples=999, seed=draw)[
            "gap"
        ]
        hits += found.low <= TRUTH <= found.high
    return hits / draws


def test_the_interval_covers_a_known_difference_in_95_of_100_draws():
    assert covered(seeds=1, draws=1_000) == pytest.approx(0.95, abs=0.02)


def test_pairing_makes_the_interval_narrower_where_methods_share_what_is_hard():
    dice = np.random.default_rng(2)
    hard = dice.random(400) < 0.5
    flips = dice.random((2, 400)) < 0.05
    right = {"base": {"MMLU": np.ones((1, 400))}, "sft": {"MMLU": (hard ^ flips[0])[None].astype(float)},
             "agent": {"MMLU": (hard ^ flips[1])[None].astype(float)}}  # fmt: skip
    found = intervals(right, {"gap": QUANTITIES["gap"]}, math=(), general=("MMLU",))["gap"]
    apart = 2 * 1.96 * 100 * np.sqrt(2 * 0.25 / 400)  # if each had been asked questions of its own
    assert found.high - found.low < 0.6 * apart
    assert found.low < found.value < found.high


def test_seeds_are_averaged_and_widen_the_interval_where_they_differ():
    one, other = np.array([1.0, 1, 1, 0] * 30), np.array([1.0, 0, 0, 0] * 30)
    base = {"Math500": np.tile([1.0, 1, 0, 0], 30)[None]}
    alike = {"base": base, "agent": {"Math500": np.stack([one, one])}}
    unlike = {"base": base, "agent": {"Math500": np.stack([one, other])}}
    first, second = (
        intervals(right, {"up": QUANTITIES["up"]}, math=("Math500",), general=())["up"] for right in (alike, unlike)
    )
    assert first.value == pytest.approx(50) and second.value == pytest.approx(0)
    assert second.high - second.low > 1.5 * (first.high - first.low)


def test_averages_are_means_of_benchmarks_and_what_has_no_value_says_so():
    right = {
        "base": {"MMLU": np.array([[1.0, 1, 1, 1]]), "MMLU-Pro": np.array([[1.0, 1]])},
        "sft": {"MMLU": np.array([[1.0, 1, 0, 0]]), "MMLU-Pro": np.array([[1.0, 1]])},
        "agent": {"MMLU": np.array([[1.0, 1, 1, 1]]), "MMLU-Pro": np.array([[1.0, 1]])},
    }
    found = intervals(right, QUANTITIES, math=("Math500",), general=("MMLU", "MMLU-Pro", "AGIEval-nonmath"))
    assert found["gap"].value == pytest.approx(25)  # of 100: half of MMLU, which is half of the average
    assert found["up"] == (None, None, None)
    same = {name: right["base"] for name in right}
    assert intervals(same, {"gap": QUANTITIES["gap"]}, math=(), general=("MMLU",))["gap"] == (0, 0, 0)
    silent = {name: {"MMLU": 0 * of["MMLU"]} for name, of in right.items()}
    assert intervals(silent, {"gap": QUANTITIES["gap"]}, math=(), general=("MMLU",))["gap"].value is None


def test_only_questions_with_a_verdict_in_every_run_count():
    base = {"a": ("MMLU", True), "b": ("MMLU", False), "c": ("AMC23", True)}
    found = aligned({"base": [base], "sft": [{"a": ("MMLU", False), "c": ("AMC23", True)}, base]})
    assert (found.questions, found.left_out) == (2, 1)
    assert found.right["sft"]["MMLU"].tolist() == [[0.0], [1.0]] and found.right["base"]["AMC23"].tolist() == [[1.0]]
