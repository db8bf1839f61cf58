"""Values of an answer's column: each becomes a gold or a reason, never nothing."""

from decimal import Decimal

import pytest

from rewright.clients.rows.answers import gold_of


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (" 42 ", "42"),
        (42, "42"),
        (10**30, "1" + "0" * 30),
        (42.0, "42"),
        (-0.5, "-0.5"),
        (1e-7, "0.0000001"),
        ("1e-5", "1e-5"),
        (Decimal("12.50"), "12.50"),
        (True, "True"),
        (["34"], "34"),
        (["2", 3, 4.0], "2, 3, 4"),
        (["5", "5"], "5"),
        ('["34"]', "34"),
        ('["x", "y"]', "x, y"),
        ("['3', '4']", "3, 4"),
        ("[1, 2]", "[1, 2]"),
        ('[1, "a"]', '[1, "a"]'),
        ("None of these", "None of these"),
    ],
)
def test_golds(value, answer):
    assert gold_of(value) == (answer, None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_answer"),
        ("  ", "no_answer"),
        ("nan", "no_answer"),
        ("proof", "no_answer"),
        ("notfound", "no_answer"),
        ([], "no_answer"),
        (["2", None], "no_answer"),
        (float("nan"), "not_finite"),
        (float("-inf"), "not_finite"),
        (Decimal("NaN"), "not_finite"),
        (1.23e22, "inexact_answer"),
        ("1.23e+22", "inexact_answer"),
        ({"a": 1}, "answer_type"),
        (b"4", "answer_type"),
    ],
)
def test_what_is_no_gold_has_a_reason(value, reason):
    assert gold_of(value) == (None, reason)
