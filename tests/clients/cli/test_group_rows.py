"""Data of other layouts as groups: lists of candidates, message lists, one candidate a row."""

import json

import pytest

from rewright.clients.cli.group_rows import Columns, GroupRows
from rewright.clients.cli.main import main
from rewright.service.errors import InvalidRequest
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

OPENR1 = {
    "problem": "p", "solution": "s", "answer": "42", "generations": ["nll=0.1 e=0", "nll=0.2 e=1"], "uuid": "u",
    "correctness_math_verify": [True, False],
}  # fmt: skip
VERL = {"prompt": [{"role": "user", "content": "p"}], "reward_model": {"ground_truth": ["42"]}, "responses": ["a", "b"]}


def groups(tmp_path, rows, name="rows.json", *, needs_reference=True, **columns):
    (tmp_path / name).write_text(json.dumps(rows), encoding="utf-8")
    read = GroupRows(str(tmp_path / name), Columns(**columns), needs_reference)
    return [group.model_dump(exclude_none=True) for _, group in read], dict(read.left_out)


def test_a_published_layout_with_the_column_of_its_candidates(tmp_path):
    (group,), left = groups(tmp_path, [OPENR1], layout="math", candidates="generations")
    assert group == {
        "id": "line-1",
        "problem": "p",
        "reference": "s",
        "answer": "42",
        "candidates": OPENR1["generations"],
    }
    assert not left


def test_a_layout_without_solutions_is_scored_where_no_reference_is_needed(tmp_path):
    options = {"layout": "dapo", "candidates": "responses"}
    (group,), _ = groups(tmp_path, [VERL], needs_reference=False, **options)
    assert group == {"id": "line-1", "problem": "p", "answer": "42", "candidates": ["a", "b"]}
    with pytest.raises(InvalidRequest, match=r"no reference.*--reasoning off"):
        groups(tmp_path, [VERL], **options)


def test_candidates_that_are_message_lists_are_their_last_turns(tmp_path):
    ask, say, tool = ({"role": r, "content": r} for r in ("user", "assistant", "tool"))
    own = {"problem": "p", "reference": "r"}
    rows = [own | {"candidates": [[say], [ask, say]]}, own | {"candidates": [[ask]]}, own | {"candidates": [[tool]]}]
    (group,), left = groups(tmp_path, [*rows, own | {"candidates": [7]}, own | {"candidates": []}])
    assert group["candidates"] == ["assistant", "assistant"]
    assert left == {"no_answer_turn": 1, "tool_turns": 1, "not_text": 1, "no_candidates": 1}


def test_one_candidate_a_row_is_put_together_by_a_key(tmp_path):
    rows = [
        {"problem": f"p{n % 2}", "solution": "s", "answer": n % 2, "said": f"c{n}", "meta": {"key": n % 2}}
        for n in range(5)
    ]
    options = {"candidates": "said", "group_by": "meta.key"}
    read, _ = groups(tmp_path, rows, **options)
    assert [(g["id"], g["candidates"]) for g in read] == [("0", ["c0", "c2", "c4"]), ("1", ["c1", "c3"])]
    with pytest.raises(InvalidRequest, match=r"one text a row.*--group-by"):
        groups(tmp_path, rows, candidates="said")
    with pytest.raises(InvalidRequest, match="row 3: problem is not that of row 1"):
        groups(tmp_path, [*rows[:2], rows[2] | {"problem": "other"}], **options)


def test_columns_that_are_not_there_and_ids_that_repeat_are_named(tmp_path):
    with pytest.raises(InvalidRequest, match="no column 'candidates'; there are 'problem', 'solution'"):
        groups(tmp_path, [{"problem": "p", "solution": "s"}])
    row = {"id": "x", "problem": "p", "reference": "r", "candidates": ["c"]}
    with pytest.raises(InvalidRequest, match="row 2: the id is that of row 1"):
        groups(tmp_path, [row, row])


def test_score_reads_other_layouts_and_says_what_it_left_out(tmp_path, capfd):
    file = tmp_path / "rollouts.json"
    file.write_text(json.dumps([OPENR1, OPENR1 | {"answer": None}]), encoding="utf-8")
    with serve_app(plain_scorers()) as server:
        options = ["--layout", "math", "--candidates", "generations", "--url", server.url]
        assert main(["score", str(file), "--out", str(tmp_path / "out.jsonl"), *options]) == 1
        assert "rows of no use: 1 no_answer" in capfd.readouterr().err
        (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
        assert [c["nll"] for c in json.loads(line)["candidates"]] == [0.1, 0.2]
        file.write_text(json.dumps([VERL | {"responses": ["nll=0.1 e=0"]}]), encoding="utf-8")
        options = ["--layout", "dapo", "--candidates", "responses", "--url", server.url]
        assert main(["score", str(file), "--reasoning", "off", *options]) == 0
        lines = tmp_path / "bare.jsonl"
        lines.write_text('{"problem": "p", "answer": "42", "candidates": ["nll=0.1 e=0"]}\n')
        assert main(["score", str(lines), "--reasoning", "off", "--url", server.url]) == 0
        capfd.readouterr()
        assert main(["score", str(lines), "--url", server.url]) == 2
        assert "reference is missing" in capfd.readouterr().err
