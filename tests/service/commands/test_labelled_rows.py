"""Published layouts of labelled solutions: the first faulty step becomes the label."""

import json

import pytest

from rewright.service.commands.labelled_rows import LabelledRow, labelled_rows
from rewright.service.errors import InvalidRequest

BENCH = {"id": "gsm8k-0", "generator": "own", "problem": "p", "steps": ["a", "b"], "final_answer_correct": True}
MR = {
    "uuid": "u", "question": "p", "ground_truth_solution": "r", "model_output_steps": ["a", "b"],
    "model_output_answer_correctness": "correct", "model_output_solution_correctness": "wrong",
    "model_output_solution_first_error_step": 2, "question_type": "original",
}  # fmt: skip


def step(*ratings, chosen=0, human=None):
    completions = [{"text": f"said {rating}", "rating": rating, "flagged": False} for rating in ratings]
    return {"completions": completions, "human_completion": human and {"text": human}, "chosen_completion": chosen}


def prm(steps, finish="solution", **question):
    own = {"problem": "p", "ground_truth_answer": "42"}
    return {"question": own | question, "label": {"steps": steps, "finish_reason": finish}}


def read(tmp_path, *rows):
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    return labelled_rows(str(tmp_path / "rows.json"))


def test_process_bench(tmp_path):
    rows = read(
        tmp_path, BENCH | {"label": -1}, BENCH | {"label": 1}, BENCH | {"label": 0, "final_answer_correct": False}
    )
    assert rows[0] == LabelledRow("p", "", "a\n\nb", True, "valid")
    assert [(r.valid, r.category) for r in rows[1:]] == [
        (False, "unsound, right answer"), (False, "unsound, wrong answer")
    ]  # fmt: skip


def test_mr_gsm8k(tmp_path):
    right = MR | {"model_output_solution_correctness": "correct", "model_output_steps": '["a", "b"]'}
    assert read(tmp_path, MR, right) == [
        LabelledRow("p", "r", "a\n\nb", False, "unsound, right answer"), LabelledRow("p", "r", "a\n\nb", True, "valid")
    ]  # fmt: skip


def test_prm800k(tmp_path):
    rows = read(
        tmp_path,
        prm([step(1), step(-1, 0, chosen=1)]),
        prm([step(1), step(-1, chosen=None)], "found_error", pre_generated_steps=["x", "y", "z"]),
        prm([step(-1, chosen=None, human="by hand")], ground_truth_solution="the solution"),
        prm([step(1)], "give_up"),
    )
    assert rows == [
        LabelledRow("p", "Answer: 42", "said 1\n\nsaid 0", True, "valid"),
        LabelledRow("p", "Answer: 42", "x\n\ny\n\nz", False, "unsound"),
        LabelledRow("p", "the solution", "by hand", True, "valid"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (BENCH | {"label": "none"}, "row 1: label must be"),
        (BENCH | {"label": 1, "steps": []}, "row 1: the steps"),
        (MR | {"model_output_solution_correctness": None}, "must be correct or wrong"),
        (MR | {"question": 7}, "question must be a text"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, said):
    with pytest.raises(InvalidRequest, match=said):
        read(tmp_path, row)
