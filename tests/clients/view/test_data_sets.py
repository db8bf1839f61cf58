"""Two data sets side by side, as files become them and as the page counts and saves them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rewright.clients.cli.main import main
from rewright.clients.view.data_sets import compared, line_of
from rewright.clients.view.documents import document
from rewright.service.errors import InvalidRequest
from tests.clients.view.page_code import in_the_page, needs_node


def lines(file: Path, rows: list[Any]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_rows_meet_by_id_in_the_order_of_the_file_after(tmp_path: Path) -> None:
    before = lines(tmp_path / "before.jsonl", [
        {"id": 1, "problem": "P1", "reference": "R1", "nll": 1.5},
        {"id": 2, "problem": "P2", "reference": "R2"},
        {"id": 3, "problem": "P3", "reference": "R3"},
    ])  # fmt: skip
    after = lines(tmp_path / "after.jsonl", [
        {"id": "2", "prompt": [{"role": "user", "content": "P2"}], "origin": "rewrite", "reference_nll": 2.0,
         "completion": [{"role": "assistant", "content": "C2"}], "nll": 0.5},
        {"id": "1", "prompt": "P1", "completion": "C1", "nll": None},
        {"id": "9", "prompt": "P9", "completion": "C9"},
        {"id": "8", "prompt": "P8", "completion": ""},
    ])  # fmt: skip
    shown = compared(before, after)
    two, one, nine = shown["groups"]
    assert (two["id"], two["problem"], two["before"]) == ("2", "P2", {"text": "R2", "nll": 2.0})
    assert two["candidates"] == [{"text": "C2", "status": "text", "nll": 0.5, "origin": "rewrite"}]
    assert one["before"] == {"text": "R1", "nll": 1.5} and "nll" not in one["candidates"][0]
    assert nine["id"] == "9" and "before" not in nine
    assert shown["data_set"] == {"only_before": 1, "left_out": 1}


def test_rows_without_ids_meet_by_their_problem_and_repeats_in_their_order(tmp_path: Path) -> None:
    before = [{"question": "Q", "answer": f"old {k} #### 4"} for k in range(3)]
    after = [{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": f"new {k}"}]}
             for k in range(2)]  # fmt: skip
    shown = compared(lines(tmp_path / "before.jsonl", before), lines(tmp_path / "after.jsonl", after))
    texts = [(group["before"]["text"], group["candidates"][0]["text"]) for group in shown["groups"]]
    assert texts == [("old 0 #### 4", "new 0"), ("old 1 #### 4", "new 1")]
    assert shown["data_set"] == {"only_before": 1, "left_out": 0}


def test_a_build_alone_holds_both_sides(tmp_path: Path) -> None:
    row = {
        "id": "p1", "prompt": [{"role": "user", "content": "P"}], "reference": "R", "reference_nll": 1.4, "nll": 0.6,
        "completion": [{"role": "assistant", "content": "C"}], "origin": "rewrite", "total": 1.0, "gate": "open",
        "attempts": [{"step": "rewrite", "text": "C"}],
    }  # fmt: skip
    (group,) = document(lines(tmp_path / "rows.jsonl", [row]))["groups"]
    assert group["before"] == {"text": "R", "nll": 1.4}
    assert json.loads(group["line"]) == row


def test_a_line_is_the_row_as_it_was_read() -> None:
    row = {"big": 2**60 + 1, "whole": 1.0, "text": "\ud800 é\u2028", "rows": [{"nan": math.nan}], "none": None}
    line = line_of(row)
    assert line.isascii() and "\n" not in line
    assert json.loads(line) == row | {"rows": [{"nan": None}]}
    assert '"whole": 1.0' in line


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    rows = lines(tmp_path / "rows.jsonl", [{"id": 1, "problem": "P", "solution": "S"}])
    with pytest.raises(InvalidRequest, match="no row in common"):
        compared(rows, lines(tmp_path / "other.jsonl", [{"id": 2, "problem": "P", "solution": "S"}]))
    with pytest.raises(InvalidRequest, match=r"strange\.jsonl, line 1: no problem with its solution"):
        compared(rows, lines(tmp_path / "strange.jsonl", [{"a": "P"}]))
    assert main(["view", rows, "--before", rows, "--groups", rows, "--out", str(tmp_path / "page.html")]) == 2


GROUPS = [
    {"line": "a", "before": {"text": "x", "nll": 1.0}, "candidates": [{"nll": 0.5}]},
    {"line": "b", "before": {"text": "x", "nll": 3.0}, "candidates": [{"nll": 2.5}]},
    {"line": "c", "candidates": [{"nll": 9.0}]},
    {"candidates": [{"nll": 9.0}]},
]


@needs_node
def test_means_are_of_rows_with_both_numbers_and_kept_rows_are_their_lines() -> None:
    all_of_them, kept = in_the_page(
        "dataset", "[dataset.told(groups, () => true), dataset.told(groups, (k) => k === 1)]", groups=GROUPS
    )
    assert all_of_them == {"rows": 3, "known": 2, "before": 2.0, "after": 1.5}
    assert kept == {"rows": 1, "known": 1, "before": 3.0, "after": 2.5}
    assert in_the_page("dataset", "dataset.linesOf(groups, (k) => k !== 1)", groups=GROUPS) == "a\nc\n"
