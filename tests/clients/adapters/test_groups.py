"""Flat rollouts ↔ whole groups."""

import random

import pytest

from rewright.clients.adapters.groups import PartialGroup, Rollout, whole_groups
from rewright.service.errors import InvalidRequest


def rollout(key, candidate, **changes):
    return Rollout(**{"key": key, "problem": f"p{key}", "reference": f"r{key}", "candidate": candidate, **changes})


def test_values_come_back_to_their_rows_whatever_their_order():
    rows = [rollout(key, f"{key}-{k}") for key in "abc" for k in range(4)]
    random.Random(1).shuffle(rows)
    grouping = whole_groups(rows, num_generations=4, fix="")
    assert [g.id for g in grouping.groups] == ["0", "1", "2"]
    for group in grouping.groups:
        assert {text[0] for text in group.candidates} == {
            group.problem[1]
        } and group.reference == f"r{group.problem[1]}"
    assert grouping.flat([group.candidates for group in grouping.groups]) == [row.candidate for row in rows]


def test_a_key_that_comes_several_times_over_makes_several_groups():
    rows = [
        rollout("a", "1"),
        rollout("a", "2"),
        rollout("b", "3"),
        rollout("b", "4"),
        rollout("a", "5"),
        rollout("a", "6"),
    ]
    grouping = whole_groups(rows, num_generations=2, fix="")
    assert [g.candidates for g in grouping.groups] == [["1", "2"], ["3", "4"], ["5", "6"]]
    assert grouping.members == [[0, 1], [2, 3], [4, 5]]


def test_a_partial_group_says_what_to_change():
    rows = [rollout("a", "1"), rollout("a", "2"), rollout("b", "3")]
    with pytest.raises(PartialGroup, match=r"row 2 has 1 rollouts here, .* num_generations = 2; raise the knob"):
        whole_groups(rows, num_generations=2, fix="raise the knob")


def test_rows_of_one_key_must_agree():
    with pytest.raises(InvalidRequest, match="rows 0 and 1"):
        whole_groups([rollout("a", "1"), rollout("a", "2", answer="7")], num_generations=2, fix="")
    with pytest.raises(InvalidRequest, match="num_generations"):
        whole_groups([rollout("a", "1")], num_generations=0, fix="")


def test_answers_may_be_absent():
    assert whole_groups([rollout("a", "1")], num_generations=1, fix="").groups[0].answer is None
    assert whole_groups([rollout("a", "1", answer="7")], num_generations=1, fix="").groups[0].answer == "7"
