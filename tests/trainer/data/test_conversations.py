"""Layouts of SFT sets as prompt and response: told by their columns, and nobody's turn becomes somebody else's."""

import json

import pytest

from rewright.trainer.data.conversations import examples
from rewright.trainer.errors import CorpusError
from tests.clients.rows.published import ASSISTANT, CALL, PUBLISHED, TURNS, USER, Q, S

TOLD = [data for data in PUBLISHED if data.layout not in ("dapo", "orz", "big_math")]


def read(tmp_path, *rows, **options):
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    return list(examples(str(tmp_path / "rows.json"), **options))


@pytest.mark.parametrize("data", TOLD, ids=lambda data: data.name)
def test_published_layouts_give_problem_and_solution(tmp_path, data):
    found = [e for e in examples(data.write(tmp_path), layout=data.layout) if e.reason is None]
    pairs = {(e.prompt[-1]["content"].strip(), e.response.strip()) for e in found}
    assert pairs >= {(problem, solution) for problem, solution, _ in data.kept}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": Q, "completion": S},
        {"prompt": [USER], "completion": [ASSISTANT]},
        {"prompt": [USER], "completion": S},
        {"messages": [USER, ASSISTANT]},
        {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": S}]},
        {"instruction": Q, "input": "", "output": S},
        {"problem": Q, "solution": S},
        {"query": Q, "response": S},
    ],
)
def test_a_layout_is_told_by_its_columns(tmp_path, row):
    (example,) = read(tmp_path, row)
    assert (example.prompt, example.response, example.reason) == ([USER], S, None)


def test_earlier_turns_stay_in_context(tmp_path):
    whole, parted = read(tmp_path, {"messages": TURNS}), read(tmp_path, {"prompt": TURNS[:1], "completion": TURNS[1:]})
    for (example,) in (whole, parted):
        assert (example.prompt, example.response) == (TURNS[:3], "49")


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([USER, ASSISTANT, USER], "not_assistant"),
        ([USER, CALL, ASSISTANT], "tool_turns"),
        ([USER, {"role": "tool", "content": "42"}, ASSISTANT], "tool_turns"),
        ([USER, {"role": "critic", "content": "no"}], "unknown_role"),
        ([USER, {"role": "assistant", "content": None}], "not_text"),
        ([], "no_messages"),
    ],
)
def test_what_is_no_response_of_the_assistant_is_left_out_with_its_reason(tmp_path, turns, reason):
    assert [e.reason for e in read(tmp_path, {"messages": turns})] == [reason]


def test_columns_of_no_layout_or_of_several_are_refused(tmp_path):
    with pytest.raises(CorpusError, match="no known layout has the columns 'text'"):
        read(tmp_path, {"text": "2 + 2 = 4"})
    with pytest.raises(CorpusError, match=r"several layouts.*set data.layout"):
        read(tmp_path, {"question": "q", "answer": "a", "solution": "s"})
