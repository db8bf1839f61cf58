"""Rows that somebody labelled sound or unsound, in the layouts that such data is published in.

    own             problem, reference (or reference_solution), candidate, valid (or answer_correct, reasoning_correct)
    ProcessBench    problem, steps, label: the first faulty step, -1 where there is none; no reference
    PRM800K         question, label.steps with ratings; -1 is a fault; solutions that were given up are left out
    MR-GSM8K        question, ground_truth_solution, model_output_steps, model_output_solution_correctness

Promises: a layout is told by its columns; a row that fits none is an error that names it and the field; a row without a
reference is judged with a blank one. Not covered: which step is faulty, once there is one.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rewright.clients.rows.columns import value_at
from rewright.clients.rows.reading import read_rows
from rewright.service.errors import InvalidRequest


class LabelledRow(NamedTuple):
    problem: str
    reference: str
    candidate: str
    valid: bool
    category: str


def labelled_rows(name: str, *, split: str = "test") -> list[LabelledRow]:
    """name: whatever `read_rows` reads. Raises `InvalidRequest` naming the row and what is wrong with it."""
    rows = [read for row in read_rows(name, split=split) if (read := _row(row.place, row.values)) is not None]
    if not rows:
        raise InvalidRequest(f"{name} holds no rows; give labelled solutions, as JSON lines or in another layout")
    return rows


def _row(place: str, row: Mapping[str, Any]) -> LabelledRow | None:
    if "model_output_steps" in row:
        return _mr_gsm8k(place, row)
    if isinstance(row.get("question"), Mapping) and isinstance(row.get("label"), Mapping):
        return _prm800k(place, row)
    if "steps" in row and "label" in row:
        return _process_bench(place, row)
    return _own(place, row)


def _own(place: str, row: Mapping[str, Any]) -> LabelledRow:
    valid = row["valid"] if "valid" in row else _both(row)
    if not isinstance(valid, bool):
        _texts(place, problem=row.get("problem"), reference=_reference(row), candidate=row.get("candidate"))
        raise InvalidRequest(f"{place}: valid must be true or false (or answer_correct and reasoning_correct be given)")
    kind = str(row.get("category") or ("valid" if valid else "unsound"))
    constructed = " (constructed)" if str(row.get("id", "")).startswith("derived-") else ""
    texts = _texts(place, problem=row.get("problem"), reference=_reference(row), candidate=row.get("candidate"))
    return LabelledRow(**texts, valid=valid, category=kind + constructed)


def _reference(row: Mapping[str, Any]) -> Any:
    return row.get("reference", row.get("reference_solution"))


def _both(row: Mapping[str, Any]) -> bool | None:
    if not isinstance(row.get("answer_correct"), bool):
        return None
    return bool(row["answer_correct"]) and bool(row.get("reasoning_correct"))


def _process_bench(place: str, row: Mapping[str, Any]) -> LabelledRow:
    first = row["label"]
    if not isinstance(first, int) or isinstance(first, bool):
        raise InvalidRequest(f"{place}: label must be the number of the first faulty step, or -1")
    texts = _texts(place, problem=row.get("problem"), reference="", candidate=_joined(place, row["steps"]))
    return LabelledRow(**texts, valid=first == -1, category=_category(first == -1, row.get("final_answer_correct")))


def _prm800k(place: str, row: Mapping[str, Any]) -> LabelledRow | None:
    """The steps that were chosen on the way, or the whole solution where the file keeps it (phase 2)."""
    finish = value_at(row, "label.finish_reason")
    if finish not in ("solution", "found_error"):
        return None
    chosen = [_chosen(step) for step in value_at(row, "label.steps") or []]
    faulty = any(rating == -1 for _, rating in chosen)
    steps = value_at(row, "question.pre_generated_steps") or [text for text, _ in chosen]
    answer = value_at(row, "question.ground_truth_answer")
    reference = value_at(row, "question.ground_truth_solution") or (f"Answer: {answer}" if answer is not None else "")
    texts = _texts(
        place, problem=value_at(row, "question.problem"), reference=reference, candidate=_joined(place, steps)
    )
    return LabelledRow(**texts, valid=not faulty and finish == "solution", category=_category(not faulty, None))


def _chosen(step: Mapping[str, Any]) -> tuple[Any, Any]:
    """(text, rating) of the completion that the solution goes on with; of the last step, the one that was rated."""
    completions = step.get("completions") or []
    chosen = step.get("chosen_completion")
    if chosen is None and step.get("human_completion"):
        return step["human_completion"].get("text"), 1
    index = chosen if isinstance(chosen, int) and chosen < len(completions) else 0
    return (completions[index].get("text"), completions[index].get("rating")) if completions else (None, None)


def _mr_gsm8k(place: str, row: Mapping[str, Any]) -> LabelledRow:
    said = str(row.get("model_output_solution_correctness", "")).strip().lower()
    if said not in ("correct", "wrong"):
        raise InvalidRequest(f"{place}: model_output_solution_correctness must be correct or wrong")
    right = {"correct": True, "wrong": False}.get(str(row.get("model_output_answer_correctness", "")).strip().lower())
    texts = _texts(
        place,
        question=row.get("question"),
        ground_truth_solution=row.get("ground_truth_solution"),
        model_output_steps=_joined(place, row["model_output_steps"]),
    )
    question, reference, candidate = texts.values()
    return LabelledRow(
        question, reference, candidate, valid=said == "correct", category=_category(said == "correct", right)
    )


def _category(valid: bool, answer_correct: Any) -> str:
    if valid:
        return "valid"
    return {True: "unsound, right answer", False: "unsound, wrong answer"}.get(answer_correct, "unsound")


def _joined(place: str, steps: Any) -> str:
    """Steps as one text; a column of a CSV file holds their list as JSON, or the text itself."""
    if isinstance(steps, str):
        try:
            steps = json.loads(steps)
        except ValueError:
            return str(steps)
    if not isinstance(steps, list) or not steps or not all(isinstance(step, str) for step in steps):
        raise InvalidRequest(f"{place}: the steps must be a list of texts")
    return "\n\n".join(steps)


def _texts(place: str, **texts: Any) -> dict[str, str]:
    for field, text in texts.items():
        if not isinstance(text, str):
            raise InvalidRequest(f"{place}: {field} must be a text")
    return texts
