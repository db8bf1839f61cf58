"""The verifier as a scorer: verdicts, the three kinds of trouble, hostile answers, accuracy on the public pairs."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from rewright.service.errors import Overloaded, ScorerUnavailable
from rewright.service.schema import Failed, Group, VerifyGroup, VerifyScored
from rewright.service.scorers.base import check_contract
from rewright.service.scorers.verify.scorer import AnswerVerifier
from tests.waiting import until_so

Score = Callable[..., list[VerifyGroup]]


@pytest.fixture(scope="module")
def score() -> Iterator[Score]:
    verifier = AnswerVerifier(workers=2, cpu_s=2.0, memory_mb=512, queue=20_000)
    asyncio.run(verifier.open())

    def run(*groups: Group) -> list[VerifyGroup]:
        results = asyncio.run(verifier.score(groups))
        check_contract("verify", groups, results)
        return results

    yield run
    asyncio.run(verifier.close())


def verdict_of(score: Score, gold: str, candidate: str) -> str:
    item = score(Group(id="g", answer=gold, candidates=[candidate]))[0].candidates[0]
    return item.error.code if isinstance(item, Failed) else item.verdict


@pytest.mark.parametrize(
    ("gold", "candidate"),
    [
        ("18", "So it is 6 + 12.\n#### 18"),
        ("18", "6 and 12 make 18.\nA: 18"),
        ("18", "Therefore the answer is 18 dollars."),
        ("18", r"Thus \boxed{18}."),
        ("18", r"I first had \boxed{17}. That was a slip. Now \[\boxed{18}\]"),
        ("1,250", "1250"),
        ("12", "\u0661\u0662"),
        ("2/3", r"\frac{2}{3}"),
        (r"2\frac{1}{4}", "9/4"),
        ("28%", "28"),
        ("28", r"28\%"),
        ("0.25", r"25\%"),
        ("$(2,-7)$", r"\left( 2, -7 \right)"),
        ("3, 8", "8 and 3"),
        (r"\{1, 2\}", "2, 1"),
        ("[0, 5)", r"0 \le x < 5"),
        (r"(-\infty, 2) \cup (3, 4]", r"\boxed{(3,4] \cup (-\infty,2)}"),
        ("x = 11", "11"),
        ("(a+1)^2", "a^2 + 2a + 1"),
        ("1", r"\sin^2 x + \cos^2 x"),
        (r"\sqrt{12}", r"2\sqrt{3}"),
        ("2y = 4x + 6", "y = 2x + 3"),
        ("x > 4", "4 < x"),
        ("2x > 8", "x > 4"),
        (r"\pm 3", "3, -3"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{bmatrix} 1 \\ \frac{4}{2} \end{bmatrix}"),
        ("777_8", r"\boxed{777_{8}}"),
        ("40 cm", r"40\text{ centimeters}"),
        (r"90^\circ", "90 degrees"),
        ("Even", r"\text{even}"),
        ("C", "The answer is (C)."),
        ("(C)", r"\boxed{\text{C}}"),
        ("C", "C. 14 apples"),
        ("C", "It's not B, so it's C"),
    ],
)
def test_right_answers_are_credited(score: Score, gold: str, candidate: str) -> None:
    assert verdict_of(score, gold, candidate) == "correct"


@pytest.mark.parametrize(
    ("gold", "candidate"),
    [
        ("5", r"\boxed{5} or \boxed{7}"),
        ("7", r"\boxed{5} or \boxed{7}"),
        ("7", r"Maybe \boxed{5}. Or perhaps \boxed{7}."),
        ("5", "It is 3, 4, 5 or 6."),
        ("5", "The answer is not 5."),
        ("5", r"\boxed{5} is wrong."),
        ("5", "The answer cannot be 5."),
        ("5", "Could it be 5?"),
        ("A", "(A) (B) (C)"),
        ("A", "The answer is (A) or (B)."),
        (r"\sqrt{x^2}", "x"),
        ("10 m", "10 kg"),
        (r"\pi", "3.14"),
        ("5", r"\boxed{\text{not } 5}"),
        ("5", r"We find 5. \boxed{}"),
        ("5", "-5"),
        ("5", "5.0001"),
        ("12", "1 2"),
        ("e^{-50}", "e^{-60}"),
        (r"4.14 \times 10^{-15}", r"1.60 \times 10^{-19}"),
        (r"\sqrt{2}", r"\sqrt{2} + 10^{-90}"),
        ("x", "x + 10^{-200}"),
        (r"\frac{22}{7}", r"\pi"),
        ("640320^3 + 744", r"e^{\pi \sqrt{163}}"),
        ("3x - 4", "3t - 4"),
        ("n", "N"),
        ("f'", "f"),
        ("y = 2", "z = 2"),
        ("(1, 4]", r"(-\infty, 1) \cup (4, \infty)"),
        ("(1, 4]", "[1, 4)"),
        ("(1, 4)", "(4, 1)"),
        ("6, 9, 1", "9, 11, 1"),
        ("2, 2, 3", "2, 3"),
        (r"\pm 3", "3"),
        ("x > 4", "x < 4"),
        ("x > 4", r"x \ge 4"),
        ("777_8", "511"),
        ("777_8", "777"),
        ("777_8", "777_9"),
        ("5 cm", "5 m"),
        ("11.67", "35/3"),
        ("7 = 2a + c", "2a + c"),
        (r"\frac{2}{3}", r"\frac{3}{2}"),
        ("C", "A, B, C or D"),
        ("C", "c"),
        ("C", "The answer is (B), not (C)."),
        ("12", "\u202e21"),
        ("12", "\u0662\u0661"),
        ("0", "__import__('os').getpid() * 0"),
    ],
)
def test_wrong_answers_are_not(score: Score, gold: str, candidate: str) -> None:
    assert verdict_of(score, gold, candidate) in ("wrong", "no_answer")


@pytest.mark.parametrize("blank", ["", "  \n\t", r"\boxed{ }"])
def test_a_blank_candidate_has_no_answer(score: Score, blank: str) -> None:
    assert verdict_of(score, "5", blank) == "no_answer"


def test_an_unreadable_gold_answer_fails_its_own_group_alone(score: Score) -> None:
    bad, good = score(
        Group(id="bad", answer="  ", reference=" ", candidates=["1", "2"]),
        Group(id="good", answer="1", candidates=["1"]),
    )
    for item in bad.candidates:
        assert isinstance(item, Failed)
        assert (item.error.code, item.error.retryable) == ("bad_gold", False)
    assert good.candidates == [VerifyScored(correct=True, verdict="correct", extracted="1")]


def test_the_gold_answer_comes_from_the_reference_where_none_is_given(score: Score) -> None:
    (group,) = score(Group(id="g", reference=r"We add: $4+5=9$, so \boxed{9}.", candidates=["A: 9", "A: 10"]))
    assert [item.verdict for item in group.candidates if isinstance(item, VerifyScored)] == ["correct", "wrong"]


def test_an_answer_past_every_limit_is_undecided(score: Score) -> None:
    assert verdict_of(score, "10", "9^{9^{9^{9^9}}}") == "undecided"


def test_verdicts_do_not_depend_on_the_company(score: Score) -> None:
    pairs = [("(a+1)^2", "a^2+2a+1"), ("4", r"\boxed{4}"), (r"\sqrt{8}", r"2\sqrt{2}"), ("3x", "3y"), ("B", "(B)")]
    groups = [Group(id=str(n), answer=gold, candidates=[candidate] * 3) for n, (gold, candidate) in enumerate(pairs)]
    alone = [score(group)[0].candidates for group in groups]
    assert [g.candidates for g in score(*groups)] == alone
    assert [g.candidates for g in reversed(score(*reversed(groups)))] == alone


def test_overload_is_refused_and_a_closed_verifier_is_unavailable() -> None:
    async def story() -> None:
        verifier = AnswerVerifier(workers=1, cpu_s=1.0, memory_mb=512, queue=2)
        await verifier.open()
        many = [Group(id=str(n), answer=f"\\sin({n}q)", candidates=["\\cos q"]) for n in range(30)]
        first = asyncio.create_task(verifier.score(many))
        await until_so(lambda: verifier.queue_state().waiting > 20)
        with pytest.raises(Overloaded):
            await verifier.score([Group(id="late", answer=r"\sin p", candidates=[r"\cos p", r"\cos 2p", r"\tan p"])])
        assert len(await first) == 30
        await verifier.close()
        await verifier.close()
        with pytest.raises(ScorerUnavailable):
            await verifier.score([Group(id="closed", answer=r"\sin p", candidates=[r"\cos p"])])

    run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    run(story())


def test_describe_is_plain_data_and_work_is_noticed(score: Score) -> None:
    verifier = AnswerVerifier(workers=1, cpu_s=1.0, memory_mb=512, queue=2)
    assert json.loads(json.dumps(verifier.describe()))["engine"] == "math-verify"
    assert verifier.last_worked() is None


def test_accuracy_on_the_public_pairs(score: Score, shared_rows: Callable[[str], list[dict[str, Any]]]) -> None:
    rows = [
        row
        for row in shared_rows("verification.jsonl")
        if row["kind"] != "plain-expr" and row["tag"].startswith(("core", "derived"))
    ]
    results = score(*[Group(id=row["id"], answer=row["gold"], candidates=[row["prediction"]]) for row in rows])
    correct = [isinstance(r.candidates[0], VerifyScored) and r.candidates[0].correct for r in results]
    agreed = sum(given == row["expected"] for given, row in zip(correct, rows, strict=True))
    false_positives = [row["id"] for given, row in zip(correct, rows, strict=True) if given and not row["expected"]]
    print(f"verification: {agreed} of {len(rows)} agree, {len(false_positives)} false positives")
    assert agreed / len(rows) >= 0.985
    assert len(false_positives) <= 2


def test_accuracy_on_real_groups(score: Score, shared_rows: Callable[[str], list[dict[str, Any]]]) -> None:
    rows = shared_rows("groups.jsonl")
    results = score(
        *[Group(id=row["id"], reference=row["reference_solution"], candidates=row["candidates"]) for row in rows]
    )
    agreed = [
        isinstance(item, VerifyScored) and item.correct == label
        for row, result in zip(rows, results, strict=True)
        for item, label in zip(result.candidates, row["candidates_correct"], strict=True)
    ]
    print(f"groups: {sum(agreed)} of {len(agreed)} agree")
    assert sum(agreed) / len(agreed) >= 0.98
