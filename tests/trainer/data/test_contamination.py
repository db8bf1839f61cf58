"""Evaluation questions in problems: whole, or 13 words of them."""

import json

import pytest

from rewright.trainer.data.contamination import Evaluations
from rewright.trainer.errors import CorpusError

WORDS = "one red fox and two grey hens cross a river of 1,000 metres in a boat for three at noon"


@pytest.fixture
def evaluations(tmp_path):
    file = tmp_path / "eval.jsonl"
    file.write_text("".join(json.dumps({"question": q}) + "\n" for q in ("What is 6 times 7?", f"If {WORDS}, when?")))
    return Evaluations([str(file)])


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("what is  6 times $7$", "is the question of eval.jsonl, line 1"),
        ("What is 6 times 8?", None),
        ("Tell me: what is 6 times 7?", None),
        (f"Yesterday {WORDS.replace('1,000', '1000').upper()} they sang.", "shares 13 words with eval.jsonl, line 2"),
        (" ".join(WORDS.split()[:12]) + " and more words than that", None),
        ("[asy] " + WORDS + " [/asy] What is it?", None),
    ],
)
def test_what_is_shared(evaluations, problem, said):
    assert evaluations.questions == 2 and evaluations.shared(problem) == said


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(CorpusError, match=r"corpus.decontaminate: there is no file.*empty list"):
        Evaluations([str(tmp_path / "absent.jsonl")])
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n')
    with pytest.raises(CorpusError, match="none of the columns question"):
        Evaluations([str(tmp_path / "a.jsonl")])


def test_a_phrase_of_several_questions_names_none(tmp_path):
    file = tmp_path / "eval.jsonl"
    stock = "The answer is m/n, where m and n are relatively prime positive integers. Find m plus n please."
    questions = [f"How tall is tree {n}? {stock}" for n in range(3)]
    file.write_text("".join(json.dumps({"question": q}) + "\n" for q in questions))
    evaluations = Evaluations([str(file)])
    assert evaluations.shared(f"How wide is the river at noon? {stock}") is None
    assert evaluations.shared(questions[1]) == "is the question of eval.jsonl, line 2"
