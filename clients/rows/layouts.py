"""Layouts: which columns of a published kind of data hold problem, solution and answer, and which rows are of no use.

A layout reads one row at a time; what it cannot use it gives back with its reason, for the reader to count. Sources are
the cards of the data sets on the hub.

    columns                x, y* and a* in columns of the user's naming
    messages, sharegpt     a conversation of one question: last user turn → x, last assistant turn → y*
    prompt_completion      prompt and completion as TRL has them, texts or messages; what `rewright build` writes
    alpaca                 instruction with its input, output
    the rest               named after the data set

Reasons of rows, beside those of `answers` and `messages`: `empty` (no problem, or no solution), `not_text` (a number is
text; a list, an object or true is not), `not_valid` (a validity column says no), `no_answer` (proofs), `other_kind`
(tool-integrated or program-of-thought rows), `none_correct` (no generation is there that is marked correct).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rewright.clients.rows.answers import gold_of
from rewright.clients.rows.columns import has_column, value_at
from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.messages import are_messages, exchange_of, turns_of

_CALCULATOR = re.compile(r"<<[^<>]*>>")


class Record(NamedTuple):
    """What a row holds. answer: None: to be read from the solution; reason: why the row is of no use, or None."""

    problem: str
    solution: str
    answer: str | None
    reason: str | None


class Layout(NamedTuple):
    """problem, solution, answer: dotted paths; solution None: there are none. answer None: the gold is read from y*.

    optional_answer: so it is where the column is not there; null_is_absent: or holds null. kind: the reason why a row
    is of no use, or None; chosen: finds the solution where no path leads to it; extra: a column that goes on with the
    problem; marks: further columns that tell the layout; clean: what is done to a solution's text.
    """

    problem: str
    solution: str | None
    answer: str | None = None
    optional_answer: bool = False
    null_is_absent: bool = False
    kind: Callable[[Mapping[str, Any]], str | None] | None = None
    chosen: Callable[[Mapping[str, Any]], Any] | None = None
    extra: str | None = None
    marks: tuple[str, ...] = ()
    clean: Callable[[str], str] = str.strip

    @property
    def holds_solutions(self) -> bool:
        """Whether it can make a corpus, an SFT set or an audit; a layout of problems and golds cannot."""
        return self.solution is not None


def record_of(layout: Layout, row: Mapping[str, Any]) -> Record:
    """The row as the layout reads it."""
    if layout.kind is not None and (reason := layout.kind(row)):
        return Record("", "", None, reason)
    told = value_at(row, layout.problem)
    if are_messages(told) or layout.solution == layout.problem:
        problem, solution, reason = _of_messages(layout, row, told)
    else:
        problem, solution, reason = _of_texts(layout, row, told)
    if reason:
        return Record(problem, solution, None, reason)
    if not problem or (layout.holds_solutions and not solution):
        return Record(problem, solution, None, "empty")
    if layout.answer is None or (layout.optional_answer and not has_column(row, layout.answer)):
        return Record(problem, solution, None, None)
    value = value_at(row, layout.answer)
    if value is None and layout.null_is_absent:
        return Record(problem, solution, None, None)
    gold = gold_of(value)
    return Record(problem, solution, gold.answer, gold.reason)


def missing_columns(layout: Layout, row: Mapping[str, Any]) -> list[str]:
    """Columns that the layout needs and the row has not."""
    needed = [layout.problem, *([layout.solution] if layout.solution and not layout.chosen else [])]
    if layout.answer is not None and not layout.optional_answer:
        needed.append(layout.answer)
    needed += layout.marks if layout.chosen else ()
    return [path for path in dict.fromkeys(needed) if not has_column(row, path)]


def check_columns(name: str, layout_name: str, layout: Layout, row: Mapping[str, Any]) -> None:
    """Raises `UnreadableData` where the first row cannot be of the layout, with the way out."""
    if missing := missing_columns(layout, row):
        raise UnreadableData(
            f"{name}: layout {layout_name} needs the column {', '.join(map(repr, missing))}; there are "
            f"{', '.join(map(repr, row))}; {_way_out(row)}"
        )
    if layout_name != "columns":
        return
    for path in filter(None, (layout.problem, layout.solution)):
        if are_messages(value_at(row, path)):
            raise UnreadableData(
                f"{name}: the column {path!r} holds lists of messages, no texts; set layout: messages and "
                f"problem: {path}"
            )


def fitting_layouts(row: Mapping[str, Any]) -> list[str]:
    """Names of the published layouts whose columns the row has, the most telling first."""
    fits = [
        name
        for name, layout in LAYOUTS.items()
        if name != "columns" and all(has_column(row, m) for m in layout.marks) and not missing_columns(layout, row)
    ]
    return sorted(fits, key=lambda name: -len({*LAYOUTS[name].marks, LAYOUTS[name].problem, LAYOUTS[name].solution}))


def layout_named(
    name: str, *, problem: str | None = None, solution: str | None = None, answer: str | None = None
) -> Layout:
    """The layout with the columns that are given in place of its own."""
    layout = LAYOUTS[name]
    changes: dict[str, Any] = {}
    if problem is not None:
        changes |= {"problem": problem, "marks": ()}
        if layout.solution == layout.problem:
            changes["solution"] = problem
    if solution is not None:
        changes |= {"solution": solution, "chosen": None}
    if answer is not None:
        changes |= {"answer": answer, "optional_answer": False, "null_is_absent": False}
    return layout._replace(**changes)


def _of_messages(layout: Layout, row: Mapping[str, Any], told: Any) -> tuple[str, str, str | None]:
    """One column holds the whole conversation, or two hold its two parts."""
    if layout.solution is None or layout.solution == layout.problem:
        problem, solution, reason = exchange_of(told)
        return problem.strip(), layout.clean(solution), reason
    completion = value_at(row, layout.solution)
    if are_messages(completion):
        problem, solution, reason = exchange_of([*(turns_of(told) or []), *(turns_of(completion) or [])])
        return problem.strip(), layout.clean(solution), reason
    problem, _, reason = exchange_of(told)
    solution, trouble = _text(completion)
    return problem.strip(), layout.clean(solution), reason or trouble


def _of_texts(layout: Layout, row: Mapping[str, Any], told: Any) -> tuple[str, str, str | None]:
    problem, reason = _text(told)
    if layout.extra and (more := _text(value_at(row, layout.extra))[0].strip()):
        problem = f"{problem}\n{more}"
    if not layout.holds_solutions:
        return problem.strip(), "", reason
    found = layout.chosen(row) if layout.chosen else value_at(row, layout.solution or "")
    if layout.chosen and found is None:
        return problem.strip(), "", "none_correct"
    if are_messages(found):
        _, solution, trouble = exchange_of([{"role": "user", "content": problem}, *(turns_of(found) or [])])
    else:
        solution, trouble = _text(found)
    return problem.strip(), layout.clean(solution), reason or trouble


def _text(value: Any) -> tuple[str, str | None]:
    if value is None or isinstance(value, str):
        return value or "", None
    if isinstance(value, int | float) and not isinstance(value, bool):
        gold = gold_of(value)
        return gold.answer or "", gold.reason
    return "", "not_text"


def _way_out(row: Mapping[str, Any]) -> str:
    if fits := fitting_layouts(row):
        return f"they fit layout: {' or '.join(fits[:3])}"
    return "set layout: columns with problem, solution and answer (dotted paths are allowed)"


def _not_valid(row: Mapping[str, Any]) -> str | None:
    if any(str(row[c]).lower() not in ("yes", "true") for c in _VALIDITY if row.get(c) is not None):
        return "not_valid"
    return "no_answer" if row.get("question_type") == "proof" else None


def _cot_alone(row: Mapping[str, Any]) -> str | None:
    if row.get("inference_mode", "cot") != "cot":
        return "other_kind"
    return "no_answer" if row.get("problem_type") == "converted_proof" else None


def _no_programs(row: Mapping[str, Any]) -> str | None:
    return "other_kind" if "/PoT/" in str(row.get("source")) else None


def _mathematics_alone(row: Mapping[str, Any]) -> str | None:
    return None if row.get("cot_type", "math") == "math" else "other_kind"


def _says_no(row: Mapping[str, Any]) -> str | None:
    return _not_valid({c: row.get(c) for c in _VALIDITY}) or _marked_wrong(row)


def _marked_wrong(row: Mapping[str, Any]) -> str | None:
    return "not_valid" if row.get("is_correct") is False else None


def _first_correct(row: Mapping[str, Any]) -> Any:
    """The first generation that is complete and that either check calls correct."""
    whole = row.get("is_reasoning_complete") or []
    marks = [row.get("correctness_math_verify") or [], row.get("correctness_llama") or []]
    for index, text in enumerate(row.get("generations") or []):
        complete = index >= len(whole) or whole[index] is not False
        if complete and any(index < len(mark) and mark[index] is True for mark in marks):
            return text
    return None


def _s1_attempt(row: Mapping[str, Any]) -> Any:
    return row.get("deepseek_attempt") or row.get("attempt")


def _without_calculator(text: str) -> str:
    return _CALCULATOR.sub("", text).strip()


_VALIDITY = ("problem_is_valid", "solution_is_valid")

LAYOUTS: dict[str, Layout] = {
    "columns": Layout("problem", "solution", kind=_says_no),
    "messages": Layout("messages", "messages"),
    "sharegpt": Layout("conversations", "conversations"),
    "prompt_completion": Layout("prompt", "completion", "answer", optional_answer=True, null_is_absent=True),
    "alpaca": Layout("instruction", "output", extra="input", marks=("input",)),
    "gsm8k": Layout("question", "answer", clean=_without_calculator),
    "math": Layout("problem", "solution", "answer", optional_answer=True, marks=("level",)),
    "numina_math_cot": Layout("problem", "solution", "answer", optional_answer=True, kind=_not_valid),
    "numina_math_1_5": Layout("problem", "solution", "answer", kind=_not_valid, marks=_VALIDITY),
    "open_math_reasoning": Layout("problem", "generated_solution", "expected_answer", kind=_cot_alone),
    "open_math_instruct": Layout("problem", "generated_solution", "expected_answer", kind=_marked_wrong),
    "open_math_instruct_1": Layout("question", "generated_solution", "expected_answer", kind=_marked_wrong),
    "openr1": Layout(
        "problem", "generations", "answer", chosen=_first_correct, marks=("generations", "correctness_math_verify")
    ),
    "metamath": Layout("query", "response"),
    "math_instruct": Layout("instruction", "output", kind=_no_programs, marks=("source",)),
    "limo": Layout("question", "solution", "answer"),
    "s1k": Layout("question", "attempt", "solution", kind=_mathematics_alone, chosen=_s1_attempt, marks=("cot_type",)),
    "deepmath": Layout("question", "r1_solution_1", "final_answer"),
    "dapo": Layout("prompt", None, "reward_model.ground_truth"),
    "orz": Layout("0.value", None, "1.ground_truth.value"),
    "big_math": Layout("problem", None, "answer", marks=("llama8b_solve_rate",)),
    "deepscaler": Layout("problem", "solution", "answer"),
}
"""By name. `dapo`, which is verl's, `orz` and `big_math` hold problems and golds alone."""
