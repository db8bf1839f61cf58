"""Which text is the stated answer: families of our own, and the public pairs, golds and rewrites."""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from rewright.service.schema import Group, VerifyScored
from rewright.service.scorers.verify.scorer import AnswerVerifier
from tests.service.scorers.verify import probed_answers, probed_references
from tests.service.scorers.verify.stated_answers import STATED, Row
from tests.service.scorers.verify.stated_beside import BESIDE
from tests.service.scorers.verify.stated_references import NO_GOLD, REFERENCES

Verdicts = Callable[[Iterable[Group]], list[str]]
SharedRows = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[Verdicts]:
    """Of groups of one candidate each."""
    verifier = AnswerVerifier(workers=2, cpu_s=2.0, memory_mb=512, queue=20_000)
    asyncio.run(verifier.open())

    def ask(groups: Iterable[Group]) -> list[str]:
        items = [result.candidates[0] for result in asyncio.run(verifier.score(list(groups)))]
        return [item.verdict if isinstance(item, VerifyScored) else item.error.code for item in items]

    yield ask
    asyncio.run(verifier.close())


def groups_of(rows: Sequence[Row | probed_answers.Row], source: str) -> list[Group]:
    return [
        Group.model_validate({"id": str(n), source: row[0], "candidates": [row[1]], "problem": (*row, None)[3]})
        for n, row in enumerate(rows)
    ]


FAMILIES = STATED | BESIDE


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stated_answer_of_a_candidate_is_held_against_the_whole_gold(verdicts: Verdicts, family: str) -> None:
    rows = FAMILIES[family]
    found = verdicts(groups_of(rows, "answer"))
    assert [(row, verdict) for row, verdict in zip(rows, found, strict=True) if (verdict == "correct") != row[2]] == []


@pytest.mark.parametrize("family", REFERENCES)
def test_the_gold_of_a_reference_is_found_at_either_end(verdicts: Verdicts, family: str) -> None:
    rows = REFERENCES[family]
    found = verdicts(groups_of(rows, "reference"))
    assert [(row, verdict) for row, verdict in zip(rows, found, strict=True) if (verdict == "correct") != row[2]] == []


@pytest.mark.parametrize("source", ["answer", "reference"])
def test_what_was_probed_afterwards(verdicts: Verdicts, source: str) -> None:
    rows = probed_answers.ANSWERS if source == "answer" else probed_references.REFERENCES
    assert len(rows) >= 20
    found = verdicts(groups_of(rows, source))
    assert [(row, verdict) for row, verdict in zip(rows, found, strict=True) if (verdict == "correct") != row[2]] == []


def test_a_reference_that_says_not_what_is_asked_for_is_no_gold(verdicts: Verdicts) -> None:
    found = verdicts(Group(id=str(n), reference=text, candidates=["5"]) for n, text in enumerate(NO_GOLD))
    assert found == ["bad_gold"] * len(NO_GOLD)
    asked = "The rectangle is 12 cm long and has an area of 60 square centimetres. How wide is it?"
    known = Group(id="g", reference=NO_GOLD[0], candidates=["5"], problem=asked)
    assert verdicts([known]) == ["correct"]


def _changed(text: str) -> Iterator[str]:
    """With one number made greater by one; of a long text, the last ones."""
    for number in list(re.finditer(r"\d+", text))[-6:]:
        yield f"{text[: number.start()]}{int(number[0]) + 1}{text[number.end() :]}"


ARGUED = {("A,C", r"\boxed{C, A}")}
"""Near misses of public_verify.jsonl that docs/verification.md argues to be right."""


def test_public_reports(verdicts: Verdicts, shared_rows: SharedRows) -> None:
    rows = shared_rows("public_verify.jsonl")
    found = verdicts(
        Group.model_validate({"id": str(n), row["as"]: row["gold"], "candidates": [row["candidate"]]} | _problem(row))
        for n, row in enumerate(rows)
    )
    credited = [verdict == "correct" for verdict in found]
    right = [given for given, row in zip(credited, rows, strict=True) if row["expected"]]
    falsely = {
        (row["gold"], row["candidate"]) for given, row in zip(credited, rows, strict=True) if given > row["expected"]
    }
    print(f"public reports: {sum(right)} of {len(right)} right answers credited, falsely {falsely}")
    assert sum(right) / len(right) >= 0.98
    assert falsely <= ARGUED


def _problem(row: dict[str, Any]) -> dict[str, str]:
    problem = row.get("problem") or row.get("question")
    return {"problem": problem} if problem else {}


@pytest.mark.parametrize("name", ["problems.jsonl", "eval.jsonl", "train_pool.jsonl"])
def test_a_gold_answer_meets_itself_and_no_neighbour(verdicts: Verdicts, shared_rows: SharedRows, name: str) -> None:
    # Of the large file every fifth: its golds are of the same kinds.
    rows = shared_rows(name)[:: 5 if name.startswith("train") else 1]
    texts = [(row, row["answer"], True) for row in rows]
    texts += [(row, text, False) for row in rows for text in _changed(row["answer"])]
    found = verdicts(
        Group.model_validate(
            {"id": str(n), "answer": row["answer"], "candidates": [f"\\boxed{{{text}}}"]} | _problem(row)
        )
        for n, (row, text, _) in enumerate(texts)
    )
    wrong = [
        (row["answer"], text)
        for (row, text, own), verdict in zip(texts, found, strict=True)
        if (verdict == "correct") != own
    ]
    assert wrong == []


def test_rewrites_state_their_answers_and_changed_ones_do_not(verdicts: Verdicts, shared_rows: SharedRows) -> None:
    rows = shared_rows("rewrites.jsonl")
    texts = [row["rewrite"] for row in rows] + [list(_changed(row["rewrite"]))[-1] for row in rows]
    found = verdicts(
        Group.model_validate(
            {"id": str(n), "reference": row["reference_solution"], "problem": row["problem"], "candidates": [text]}
        )
        for n, (row, text) in enumerate(zip(rows * 2, texts, strict=True))
    )
    credited = found[: len(rows)].count("correct")
    print(f"rewrites: {credited} of {len(rows)} credited")
    assert credited / len(rows) >= 0.98
    assert "correct" not in found[len(rows) :]
