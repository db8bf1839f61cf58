"""Candidates that only announce their answer, told from short ones that give a reason."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from rewright.service.mathematics.reasoning.bare_answer import only_states_its_answer
from rewright.service.mathematics.reasoning.certain_faults import certain_fault

CRATES = "A shop has 4 crates with 12 jars each and sells 6 jars. How many jars are left?"
CLASSES = "In how many ways can a pupil choose 2 of 7 classes?"
POWER = "For which value of $k$ is $2^k = 64$?"


@pytest.mark.parametrize(
    ("problem", "candidate"),
    [
        (CRATES, "The solution to the problem is 42 jars."),
        (CRATES, "The shop has $\\boxed{42}$ jars left."),
        (CRATES, "A total of 42 jars remain."),
        (CRATES, "The number of jars that are left is 42.\nThe final answer is $\\boxed{42}$"),
        (CLASSES, "A pupil can choose 2 of 7 classes in \\(\\boxed{21}\\) ways."),
        (POWER, "The value of \\(k\\) is \\(\\boxed{6}\\)."),
        (POWER, "$k = 6$"),
        ("Simplify $\\sqrt{72}$.", "The simplified form is $\\boxed{6\\sqrt{2}}$."),
    ],
)
def test_an_answer_in_the_problems_own_words_is_no_reasoning(problem: str, candidate: str) -> None:
    assert only_states_its_answer(problem=problem, candidate=candidate)
    fault = certain_fault(problem=problem, reference="…", candidate=candidate)
    assert fault is not None and fault.startswith("no reasoning")


@pytest.mark.parametrize(
    ("problem", "candidate"),
    [
        (CRATES, "4 * 12 - 6 = 42"),
        (CRATES, "The 4 crates hold 48 jars. After the sale 42 jars are left."),
        (CRATES, "Of the jars in the crates all but 6 are left: 42."),
        (CLASSES, "There are $\\binom{7}{2} = 21$ ways."),
        (CLASSES, "Each pair counts once, which leaves 21 ways."),
        (POWER, "Since 64 is 2^6, the answer is 6."),
        (POWER, "$2^6 = 64$"),
        ("How many faces does a cube have?", "By symmetry opposite faces pair up, three pairs, 6 faces."),
        ("Is 91 prime?", "It is divisible by 7, thus not."),
        ("小明有四箱，每箱十二罐，一共有多少罐？", "四乘以十二等于四十八，所以答案是48。"),
    ],
)
def test_a_short_text_with_a_reason_is_a_matter_for_the_model(problem: str, candidate: str) -> None:
    assert not only_states_its_answer(problem=problem, candidate=candidate)


def test_moves_told_in_the_problems_words_are_steps() -> None:
    problem = (
        "Ana, Ben and Cleo hold a red, a blue and a green ball. Ana and Ben swap, then Ben and Cleo. What has Cleo?"
    )
    moves = "Ana: blue, Ben: red, Cleo: green.\nBen and Cleo swap. Ben: green, Cleo: red.\nCleo has the red ball."
    assert not only_states_its_answer(problem=problem, candidate=moves)


def test_any_text_is_read() -> None:
    rng = random.Random(5)
    for _ in range(2_000):
        text = "".join(rng.choice("aβ数1 2.=\\{}$\n!-?") for _ in range(rng.randrange(60)))
        assert only_states_its_answer(problem=text[::-1], candidate=text) in {True, False}


def test_solutions_of_people_are_not_taken_for_bare_answers(shared_rows: Callable[[str], list[dict[str, Any]]]) -> None:
    rows = shared_rows("train_pool.jsonl")
    alarms = [r["solution"] for r in rows if only_states_its_answer(problem=r["problem"], candidate=r["solution"])]
    assert len(rows) > 6_000 and len(alarms) <= len(rows) // 1_000, alarms
