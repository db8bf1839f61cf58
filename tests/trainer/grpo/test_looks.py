"""A look at the policy: what its numbers count, what they warn of, and which look is the best."""

from collections.abc import Sequence
from typing import Any

import pytest

from rewright.clients.wire import NllGroup, RewardGroup
from rewright.trainer.grpo.looks import HEAD, Look, alarms, best_of, look_from_row, numbers

SIGNALS = {"n_tokens": 10, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.25}
ERROR = {"code": "judge_unavailable", "message": "away", "retryable": True}


def reward(*, v_ans: int = 1, v_rea: int | None = 1, ratio: float = 1.0, failed: bool = False) -> RewardGroup:
    signals = SIGNALS | {"length_ratio": ratio}
    passed = v_ans == 1 and v_rea == 1
    item: dict[str, Any] = {"v_ans": v_ans, "v_rea": v_rea, "signals": signals}
    if failed:
        item = {"status": "failed", "total": None, "gate": None, "error": ERROR, **item}
    else:
        gate = "open" if passed else "wrong" if v_ans == 0 else "invalid"
        item = {"status": "scored", "total": float(passed), "gate": gate, "r_task": int(passed), **item}
    return RewardGroup.model_validate(
        {
            "id": "g", "candidates": [item], "feasible": int(passed), "failed": int(failed), "nll_mean": None,
            "nll_std": None, "diversity": None,
        }
    )  # fmt: skip


def likely(logprobs: Sequence[float] | None) -> NllGroup:
    if logprobs is None:
        return NllGroup.model_validate({"id": "g", "candidates": [{"status": "failed", "error": ERROR}]})
    tokens = [{"text": "a", "logprob": value} for value in logprobs]
    nll = -sum(logprobs) / len(logprobs)
    return NllGroup.model_validate(
        {"id": "g", "candidates": [{"status": "scored", "nll": nll, "n_tokens": len(tokens), "tokens": tokens}]}
    )


def look(step: int, problems: int = 64, **values: float) -> Look:
    return Look(step, problems, {"yield": 0.5, "length_ratio": 2.0, "bare": 0.0, "nll_head": 0.5} | values)


def test_failures_are_no_wrong_answers_and_no_zeros() -> None:
    rewards = [reward(), reward(v_ans=0, v_rea=None), reward(failed=True)]
    found = numbers(rewards, rewards, [likely([-1.0]), likely(None), likely([-3.0])], [False, True, False])
    assert found["yield"] == 0.5
    assert found["v_ans"] == 0.5
    assert found["failed"] == pytest.approx(1 / 3)
    assert found["nll"] == 2.0
    assert found["cut_off"] == pytest.approx(1 / 3)
    nothing = numbers([reward(failed=True)], [reward(failed=True)], [likely(None)], [False])
    assert not {"yield", "v_ans", "bare", "nll", "nll_head"} & nothing.keys()


def test_the_beginning_of_a_text_is_counted_apart() -> None:
    text = [-2.0] * HEAD + [0.0] * HEAD
    found = numbers([reward()], [reward()], [likely(text)], [False])
    assert found["nll"] == 1.0
    assert found["nll_head"] == 2.0


def test_bare_answers_are_what_checks_refuse_and_what_is_far_too_short() -> None:
    rewards = [reward(), reward(), reward(ratio=0.1), reward()]
    checked = [reward(), reward(v_rea=0), reward(ratio=0.1), reward()]
    found = numbers(rewards, checked, [likely([-1.0])] * 4, [False] * 4)
    assert found["bare"] == 0.5
    assert found["wrongly_passed"] == 0.25


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, None),
        ({"bare": 0.02}, None),
        ({"bare": 0.05}, "5% of the rewrites only state an answer"),
        ({"length_ratio": 0.4}, "0.40 times their references' length, at the first look 2.00"),
        ({"length_ratio": 4.1}, "4.10 times"),
        ({"length_ratio": 0.9}, None),  # nearer to the reference than at first: it learnt to end
        ({"length_ratio": 0.0}, "0.00 times"),
        ({"length_ratio": 1.1}, None),
        ({"wrongly_passed": 0.01}, "the judge passes 1% of the rewrites"),
    ],
)
def test_what_should_worry(now: dict[str, float], said: str | None) -> None:
    found = alarms(look(0), look(10, **now))
    assert (said is None) == (not found)
    assert said is None or said in found[0]


def test_the_best_look_has_the_highest_yield_and_no_alarm() -> None:
    looks = [look(0), look(10, **{"yield": 0.7}), look(20, **{"yield": 0.9}, bare=0.3), look(30, **{"yield": 0.6})]
    best = best_of(looks)
    assert best is looks[1]


def test_within_one_problem_the_likelier_look_is_the_best() -> None:
    looks = [look(0), look(10, **{"yield": 0.75}), look(20, **{"yield": 47 / 64}, nll_head=0.3), look(30, nll_head=0.1)]
    assert best_of(looks) is looks[2]


def test_the_best_look_is_always_one_whose_weights_are_there() -> None:
    """At every look either the new one is the best, or the best before still is."""
    looks = [
        look(0, 8),
        look(1, 8, **{"yield": 0.75}, nll_head=1.0),
        look(2, 8, **{"yield": 0.875}, nll_head=1.5),  # within one problem, and less likely: not kept
        look(3, 8, **{"yield": 1.0}, nll_head=2.0),  # the one kept is two problems below it
        look(4, 8, **{"yield": 0.875}, nll_head=1.9),
        look(5, 8, **{"yield": 0.75}, nll_head=0.1),
    ]
    kept = [best_of(looks[: at + 1]) for at in range(len(looks))]
    assert [each and each.step for each in kept] == [None, 1, 1, 3, 4, 4]


def test_a_look_that_the_service_scored_little_of_is_not_the_best() -> None:
    looks = [look(0), look(10, **{"yield": 0.6}), look(20, **{"yield": 1.0}, failed=0.9)]
    assert best_of(looks) is looks[1]


def test_a_lenient_judge_is_an_alarm_and_no_reason_to_keep_nothing() -> None:
    looks = [look(0, wrongly_passed=0.1), look(10, wrongly_passed=0.1)]
    assert alarms(*looks)
    assert best_of(looks) is looks[1]


def test_a_policy_that_wrote_bare_answers_before_it_was_trained_may_grow() -> None:
    looks = [look(0, length_ratio=0.3, bare=0.4), look(10, length_ratio=0.9, bare=0.0)]
    assert not alarms(*looks)
    assert best_of(looks) is looks[1]


def test_looks_at_other_numbers_of_problems_are_not_compared() -> None:
    looks = [look(0), look(10, **{"yield": 0.9}), look(20, 8, **{"yield": 0.5})]
    assert best_of(looks) is looks[2]


def test_without_likelihoods_the_higher_yield_is_kept() -> None:
    looks = [look(step, 8, **{"yield": share}) for step, share in ((0, 0.5), (1, 0.5), (2, 0.625), (3, 0.5))]
    for each in looks:
        del each.values["nll_head"]
    assert best_of(looks) is looks[2]


def test_the_untrained_policy_is_never_the_best() -> None:
    assert best_of([look(0, **{"yield": 1.0})]) is None
    assert best_of([]) is None


def test_a_row_is_read_back_as_it_was_written() -> None:
    assert look_from_row(look(3).as_row()) == look(3)
