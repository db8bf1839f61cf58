"""Flat batches over HTTP: groups by key, columns by name, and no number for what could not be scored."""

import httpx
import pytest

from rewright.clients.http_client import RewardClient
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

PATH = "/v1/flat/reward"
TEXTS = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


def batch(texts, problems, **more):
    size = len(texts)
    columns = {"problem": problems, "reference": ["r"] * size, "level": [1] * size}
    return {
        "prompts": [[{"role": "user", "content": p}] for p in problems],
        "completions": texts,
        "context": columns,
    } | more


def totals(server, texts, rule=None):
    with RewardClient(server.url, deadline_s=30) as client:
        group = client.reward([{"problem": "p", "reference": "r", "candidates": texts}], rule=rule).groups[0]
    return [item.total for item in group.candidates]


def test_groups_are_found_by_key_whatever_the_order(server):
    body = batch(["ans=0", *TEXTS, "nll=0.9 e=0.2"], ["q", "p", "p", "p", "p", "q"], run="what only the trainer knows")
    q, p = totals(server, ["ans=0", "nll=0.9 e=0.2"]), totals(server, TEXTS)
    assert httpx.post(server.url + PATH, json=body).json() == {"rewards": [q[0], *p, q[1]]}


def test_columns_size_and_rule_by_the_query(server):
    body = batch(TEXTS, ["p"] * 4)
    body["context"] = {"question": ["p"] * 4, "solution": ["r"] * 4}
    query = {"problem": "question", "reference": "solution", "size": 2, "rule": '{"lambda_dist": 3}'}
    answer = httpx.post(server.url + PATH, json=body, params=query).json()
    rule = {"lambda_dist": 3}
    assert answer == {"rewards": [*totals(server, TEXTS[:2], rule), *totals(server, TEXTS[2:], rule)]}


def test_what_cannot_be_scored_is_an_error_and_never_a_number(server):
    refused = httpx.post(server.url + PATH, json=batch([*TEXTS[:3], "fail=judge_unavailable@judge"], ["p"] * 4))
    error = refused.json()["error"]
    assert refused.status_code == 503 and error["retryable"]
    assert "1 of 4" in error["message"] and "judge_unavailable" in error["message"]


@pytest.mark.parametrize(
    ("body", "query", "says"),
    [
        (batch(TEXTS, ["p"] * 4), {"size": 3}, "no multiple of size=3"),
        (batch(TEXTS, ["p"] * 4), {"problem": "level"}, "context.level.0"),
        (batch(TEXTS, ["p"] * 4), {"reference": "nowhere"}, "reference"),
        (batch(TEXTS, ["p"] * 4), {"rule": "{"}, "rule: not valid JSON"),
        (batch(TEXTS, ["p"] * 4), {"rule": '{"lambda": 1}'}, "rule.lambda"),
        (batch(TEXTS, ["p"] * 3), {}, "has 3 rows for 4 completions"),
        (batch([1], ["p"]), {}, "completions.0"),
        ({"prompts": []}, {}, "prompts"),
    ],
)
def test_what_is_wrong_is_named(server, body, query, says):
    refused = httpx.post(server.url + PATH, json=body, params=query)
    assert refused.status_code == 422 and says in refused.json()["error"]["message"]


def test_info_says_what_a_sample_holds(server):
    told = httpx.get(f"{server.url}/v1/info").json()["sample_schema"]
    assert set(told["required"]) == {"problem", "reference"} and set(told["properties"]) >= {"answer"}
