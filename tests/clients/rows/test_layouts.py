"""Published schemas give their problems, solutions and golds, and every row of no use its reason."""

import json

import pytest

from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.layouts import LAYOUTS, check_columns, fitting_layouts, layout_named, record_of
from rewright.clients.rows.reading import read_rows
from tests.clients.rows.published import ASSISTANT, PUBLISHED, USER, Q, S

each = pytest.mark.parametrize("data", PUBLISHED, ids=lambda data: data.name)


@each
def test_a_published_schema_is_read_by_its_layout(tmp_path, data):
    rows = [row.values for row in read_rows(data.write(tmp_path))]
    layout = layout_named(data.layout)
    check_columns(data.name, data.layout, layout, rows[0])
    records = [record_of(layout, row) for row in rows]
    assert [tuple(r)[:3] for r in records if r.reason is None] == data.kept
    assert [r.reason for r in records if r.reason is not None] == list(data.reasons)


@each
def test_its_columns_lead_to_its_layout(tmp_path, data):
    first = next(read_rows(data.write(tmp_path))).values
    if data.layout != "columns":
        assert data.layout in fitting_layouts(first)


def test_every_layout_has_a_sample():
    assert {data.layout for data in PUBLISHED} == set(LAYOUTS)


def test_columns_of_the_users_take_the_place_of_the_layouts():
    row = {"meta": {"q": Q}, "generations": [S, "7"], "gold": ["6", "7"]}
    layout = layout_named("columns", problem="meta.q", solution="generations.0", answer="gold")
    assert tuple(record_of(layout, row)) == (Q, S, "6, 7", None)
    turns = {"chat": [USER, ASSISTANT], "gold": 42}
    assert tuple(record_of(layout_named("messages", problem="chat", answer="gold"), turns)) == (Q, S, "42", None)


@pytest.mark.parametrize("value", [None, "", float("nan"), "1.23e+22"])
def test_a_gold_that_is_none_is_never_taken_from_the_solution_instead(value):
    layout = layout_named("columns", answer="answer")
    assert record_of(layout, {"problem": Q, "solution": S, "answer": value}).reason is not None


def test_what_says_no_is_honoured_in_columns_of_the_users_too():
    row = {"problem": Q, "solution": S}
    layout = layout_named("columns")
    assert record_of(layout, row | {"solution_is_valid": "No"}).reason == "not_valid"
    assert record_of(layout, row | {"is_correct": False}).reason == "not_valid"
    assert record_of(layout, row | {"solution_is_valid": "Yes", "is_correct": True}).reason is None


def test_a_text_that_spells_messages_is_read_as_them():
    row = {"messages": json.dumps([USER, ASSISTANT]), "chat": json.dumps([USER]), "said": json.dumps([ASSISTANT])}
    assert tuple(record_of(layout_named("messages"), row))[:2] == (Q, S)
    assert tuple(record_of(layout_named("columns", problem="chat", solution="said"), row))[:2] == (Q, S)


def test_a_column_of_messages_is_said_to_hold_them():
    layout = layout_named("columns", problem="messages", solution="solution")
    with pytest.raises(UnreadableData, match="'messages' holds lists of messages"):
        check_columns("a.jsonl", "columns", layout, {"messages": [USER], "solution": S})
