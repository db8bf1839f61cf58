"""Bodies that are refused, naming the place, and odd ones that are lawful: over real HTTP, on plain scorers."""

import pytest

from rewright.service.schema.requests import MOST_SIMILAR
from rewright.service.settings import LimitSettings, Settings
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
from tests.service.http.wire import ENDPOINTS, GROUP, error_of


def raw(group: str) -> bytes:
    return ('{"groups": [' + group + "]}").encode()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff\xfe", "body"),
        (b"[]", "body"),
        (b"null", "body"),
        (b"[" * 100_000, "body"),
        (b"{}", "groups"),
        (b'{"groups": []}', "groups"),
        (b'{"groups": {}}', "groups"),
        (b'{"groups": [{"problem": "p", "reference": "r", "candidates": ["a"]}], "more": 1}', "more"),
        (raw('{"problem": "p", "reference": "r", "candidates": []}'), "groups.0.candidates"),
        (raw('{"problem": "p", "reference": "r"}'), "groups.0.candidates"),
        (raw('{"problem": "p", "reference": "r", "candidates": "a"}'), "groups.0.candidates"),
        (raw('{"problem": "p", "reference": "r", "candidates": ["a", 1]}'), "groups.0.candidates.1"),
        (raw('{"problem": "p", "reference": "r", "candidates": ["a", null]}'), "groups.0.candidates.1"),
        (raw('{"problem": "p", "reference": "r", "candidates": [NaN]}'), "groups.0.candidates.0"),
        (raw('{"problem": 7, "reference": "r", "candidates": ["a"]}'), "groups.0.problem"),
        (raw('{"problem": "p", "reference": "r", "answer": 42, "candidates": ["a"]}'), "groups.0.answer"),
        (raw('{"problem": "p", "reference": "r", "candidates": ["a"], "prompt": ""}'), "groups.0.prompt"),
        (raw('{"problem": "p", "reference": "r", "candidates": ["a"], "feasible": [true, true]}'), "groups.0"),
        (raw('{"problem": "p", "reference": "r", "candidates": ["\\ud800"]}'), "body"),
        (
            raw(
                '{"id": "0", "problem": "p", "reference": "r", "candidates": ["a"]}, ' * 1
                + '{"id": "0", "problem": "p", "reference": "r", "candidates": ["a"]}'
            ),
            "groups",
        ),
        (
            b'{"groups": [{"problem": "p", "reference": "r", "candidates": ["a"]}], "rule": {"lambda_dist": NaN}}',
            "rule.lambda_dist",
        ),
        (
            b'{"groups": [{"problem": "p", "reference": "r", "candidates": ["a"]}], "rule": {"variant": "ful"}}',
            "rule.variant",
        ),
        (
            b'{"groups": [{"problem": "p", "reference": "r", "candidates": ["a"]}], "rule": {"min_std": -1}}',
            "rule.min_std",
        ),
    ],
)
def test_malformed_bodies_are_a_422_naming_the_place(server, endpoint, body, place):
    with server.client() as client:
        response = client.post(f"/v1/{endpoint}", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 422
        error = error_of(response)
        assert (error["code"], error["retryable"]) == ("invalid_request", False)
        assert error["detail"][0]["place"].startswith(place) and error["message"]
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "without"),
    [
        ("judge", "problem"),
        ("judge", "reference"),
        ("nll", "problem"),
        ("reward", "problem"),
        ("reward", "reference"),
    ],
)
def test_a_field_that_the_endpoint_needs_is_named(client, endpoint, without):
    bare = {k: v for k, v in GROUP.items() if k != without}
    response = client.post(f"/v1/{endpoint}", json={"groups": [GROUP | {"id": "ok"}, bare]})
    assert response.status_code == 422
    assert error_of(response)["detail"] == [
        {"place": f"groups.1.{without}", "message": f"missing; /v1/{endpoint} needs it in every group"}
    ]


def test_verify_needs_an_answer_or_a_reference(client):
    for fields in ({"answer": "1"}, {"reference": "1"}):
        assert client.post("/v1/verify", json={"groups": [{"candidates": ["a"], **fields}]}).status_code == 200
    response = client.post("/v1/verify", json={"groups": [{"candidates": ["a"]}]})
    assert response.status_code == 422 and error_of(response)["detail"][0]["place"] == "groups.0.answer|reference"
    assert client.post("/v1/diversity", json={"groups": [{"candidates": ["a"]}]}).status_code == 200


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ([2, MOST_SIMILAR + 1], f"groups.1 has {MOST_SIMILAR + 1} candidates, and similarities are given of at most"),
        ([MOST_SIMILAR] * 9, "up to groups.8, more than 524288; send fewer groups per request"),
    ],
)
def test_similarities_of_too_many_are_a_422_naming_the_field_and_the_way_out(client, sizes, says):
    body = {"groups": [{"candidates": ["e=0"] * size} for size in sizes], "similarities": True}
    answer = client.post("/v1/diversity", json=body)
    assert answer.status_code == 422
    message = error_of(answer)["message"]
    assert message.startswith("similarities: ") and says in message
    assert message.endswith("or leave similarities out")


def test_similarities_of_the_largest_group_are_given(client):
    few = [True, True] + [False] * (MOST_SIMILAR - 2)
    body = {"groups": [{"candidates": ["e=0"] * MOST_SIMILAR, "feasible": few}], "similarities": True}
    (group,) = client.post("/v1/diversity", json=body).json()["groups"]
    row = [1.0, 1.0] + [None] * (MOST_SIMILAR - 2)
    assert group["similarities"] == [row, row] + [None] * (MOST_SIMILAR - 2)


def test_odd_but_lawful_candidates_are_scored_one_by_one(client):
    odd = ["", " \n\t", "nul \x00 inside", "x" * 100_000, "nll=0.5"]
    answer = client.post("/v1/reward", json={"groups": [{**GROUP, "candidates": odd}]})
    assert answer.status_code == 200
    items = answer.json()["groups"][0]["candidates"]
    assert [c["gate"] for c in items] == ["blank", "blank", "open", "open", "open"]
    single = client.post("/v1/reward", json={"groups": [{**GROUP, "candidates": ["nll=2"]}]}).json()["groups"][0]
    assert (single["candidates"][0]["r_dist"], single["candidates"][0]["r_div"]) == (0.5, 0.0)


def test_no_error_echoes_a_text(client):
    secret = "the-text-of-a-candidate"
    body = {"groups": [{"problem": secret, "reference": secret, "candidates": [secret], "unknown": secret}]}
    assert secret not in client.post("/v1/reward", json=body).text
    assert secret not in client.post("/v1/reward", content=b'{"groups": "' + secret.encode()).text


def test_limits_are_a_413_naming_the_limit():
    settings = Settings(limits=LimitSettings(body_mb=1, groups=2, candidates=3, characters=5000))
    with serve_app(plain_scorers(), settings) as server, server.client() as client:
        small = {"problem": "p", "reference": "r", "candidates": ["a"]}
        for body, limit in (
            ({"groups": [small] * 3}, "limits.groups"),
            ({"groups": [{**small, "candidates": ["a"] * 4}]}, "limits.candidates"),
            ({"groups": [{**small, "candidates": ["a" * 6000]}]}, "limits.characters"),
            ({"groups": [{**small, "candidates": ["a" * (3 << 20)]}]}, "limits.body_mb"),
        ):
            response = client.post("/v1/reward", json=body)
            assert response.status_code == 413
            error = error_of(response)
            assert error["code"] == "too_large" and error["detail"]["limit"] == limit and limit in error["message"]
        assert client.post("/v1/reward", json={"groups": [small]}).status_code == 200


@pytest.mark.parametrize("endpoint", ["verify", "judge", "nll", "diversity", "reward"])
def test_the_last_assistant_text_of_messages_stands_for_a_candidate(client, endpoint):
    parts = [
        {"type": "text", "text": "nll=0.5 "},
        {"type": "image_url", "image_url": {}},
        {"type": "text", "text": "e=1"},
    ]
    messages = [
        {"role": "assistant", "content": "ans=0"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": parts},
    ]
    sample = {"problem": "p", "reference": "r"}
    told = [
        client.post(f"/v1/{endpoint}", json={"groups": [{**sample, "candidates": [one, "nll=1"]}]}).json()["groups"]
        for one in ("nll=0.5 e=1", messages)
    ]
    assert told[0] == told[1]
    refused = client.post(f"/v1/{endpoint}", json={"groups": [{**sample, "candidates": [["text"]]}]})
    assert refused.status_code == 422 and error_of(refused)["detail"][0]["place"].startswith("groups.0.candidates.0")
