"""What a data set must hold is asked of the service, and told by row and column before anything is scored."""

import asyncio

import pytest

from rewright.clients.adapters.one_group import OneGroup
from rewright.clients.adapters.samples import Sample, check_dataset, sample_of, sample_of_json
from rewright.clients.adapters.trl import RewardFunction
from rewright.service.errors import InvalidRequest, RewrightError
from tests.live_server import free_port, serve_app
from tests.plain_scorers import plain_scorers

OFF = {"reasoning": "off"}


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


def test_rows_that_can_be_rewarded_are_counted(server):
    rows = [{"question": "p", "solution": "r"}, {"question": "p", "solution": "r", "answer": "4", "more": 1}]
    assert check_dataset(server.url, rows, columns={"problem": "question", "reference": "solution"}) == 2
    assert check_dataset(server.url, [{"problem": "p", "answer": "4"}], rule=OFF) == 1


@pytest.mark.parametrize(
    ("row", "options", "says"),
    [
        ({"problem": "p"}, {}, "row 1: lacks 'reference'"),
        ({"problem": "p", "answer": "4"}, {}, "row 1: lacks 'reference'"),
        ({"reference": "r"}, {}, "row 1: lacks 'problem'"),
        ({"problem": "p"}, {"rule": OFF}, "row 1: lacks 'reference' or 'answer'|row 1: lacks 'answer' or 'reference'"),
        ({"problem": 4, "reference": "r"}, {}, r"row 1\.problem: holds int"),
        ({"problem": "p", "reference": "r", "answer": 4}, {}, r"row 1\.answer: holds int"),
    ],
)
def test_the_first_row_that_cannot_be_is_named_with_its_column(server, row, options, says):
    good = {"problem": "p", "reference": "r", "answer": "4"}
    with pytest.raises(InvalidRequest, match=says):
        check_dataset(server.url, [good, row], **options)
    with pytest.raises(InvalidRequest, match="no rows"):
        check_dataset(server.url, [], **options)


def test_a_service_that_is_away_is_said_so():
    with pytest.raises(RewrightError):
        check_dataset(f"http://127.0.0.1:{free_port()}", [{"problem": "p"}], deadline_s=1)


def test_adapters_ask_before_the_first_reward(server):
    answer_alone = Sample("p", answer="4")
    with pytest.raises(InvalidRequest, match=r"lacks 'reference'.*sample_schema"):
        asyncio.run(OneGroup(server.url).reward(answer_alone, ["ans=1"]))
    assert asyncio.run(OneGroup(server.url, rule=OFF).reward(answer_alone, ["ans=1"])).totals is not None


def test_trl_needs_no_reference_where_an_answer_is_enough(server):
    given = {"prompts": ["x"] * 2, "completions": ["nll=1", "ans=0"], "question": ["p"] * 2, "answer": ["4"] * 2}
    options = {"num_generations": 2, "columns": {"problem": "question"}}
    assert asyncio.run(RewardFunction(server.url, rule=OFF, **options)(**given))[1] == 0.0
    with pytest.raises(InvalidRequest, match="lacks 'reference'"):
        asyncio.run(RewardFunction(server.url, **options)(**given))
    with pytest.raises(InvalidRequest, match=r"row 0\.reference: missing, and so is answer"):
        asyncio.run(RewardFunction(server.url, rule=OFF, **options)(**given | {"answer": [None, "4"]}))


def test_what_a_sample_lacks_is_named():
    assert sample_of_json('{"problem": "p", "reference": "r", "more": 1}', "label") == Sample("p", "r")
    for wrong, says in [("x", "JSON object"), (None, "JSON object"), ('{"problem": "p"}', r"label\.reference")]:
        with pytest.raises(InvalidRequest, match=says):
            sample_of_json(wrong, "label")
    with pytest.raises(InvalidRequest, match=r"extra_info\.answer: holds int"):
        sample_of({"problem": "p", "reference": "r", "answer": 4}, "extra_info")
    with pytest.raises(InvalidRequest, match="must be a mapping"):
        sample_of(None, "extra_info")
    with pytest.raises(InvalidRequest, match="'gold' is no field"):
        sample_of({}, "row", columns={"gold": "x"})
