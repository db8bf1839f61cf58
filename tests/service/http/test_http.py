"""Every row of the wire format's input table over real HTTP, the one error body, and who may call.

Runs on scorers that stand at the protocol; the same inputs go to the real scorers in test_embedded_service.
"""

import asyncio
import json

import httpx
import pytest

from rewright.service.errors import Overloaded, ScorerUnavailable
from rewright.service.settings import LimitSettings, Settings
from tests.live_server import serve_app
from tests.plain_scorers import NEVER, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.waiting import until_so

ENDPOINTS = ["verify", "judge", "nll", "diversity", "reward"]
GROUP = {"id": "g1", "problem": "p", "reference": "r", "answer": "42", "candidates": ["nll=0.5 e=0", "nll=0.7 e=0.5"]}


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as server:
        yield server


@pytest.fixture
def client(server):
    with server.client() as client:
        yield client
        # Whatever the test sent, the service goes on.
        assert client.post("/v1/reward", json={"groups": [GROUP]}).status_code == 200


def error_of(response):
    body = response.json()
    assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "retryable", "detail"}
    assert "Traceback" not in response.text
    return body["error"]


def test_one_body_for_all_five_endpoints(client):
    body = {"groups": [GROUP, {**GROUP, "id": "g2"}], "rule": {"lambda_div": 5.0}, "tokens": True}
    for endpoint in ENDPOINTS:
        answer = client.post(f"/v1/{endpoint}", json=body).json()
        assert [g["id"] for g in answer["groups"]] == ["g1", "g2"]
        assert all(len(g["candidates"]) == 2 for g in answer["groups"])
        assert answer["served_by"]["version"]
        assert set(answer["served_by"]["scorers"]) == (set(ENDPOINTS[:4]) if endpoint == "reward" else {endpoint})


def test_shapes_of_the_answers(client):
    body = {"groups": [{**GROUP, "feasible": [True, False]}]}
    item = {e: client.post(f"/v1/{e}", json=body).json()["groups"][0]["candidates"][0] for e in ENDPOINTS}
    assert set(item["verify"]) == {"status", "correct", "verdict", "extracted"}
    assert set(item["judge"]) == {"status", "valid", "score", "verdict", "rationale"}
    assert set(item["nll"]) >= {"status", "nll", "n_tokens"} and "tokens" not in item["nll"]
    assert set(item["diversity"]) >= {"status", "r_div"}
    components = {"r_task", "v_ans", "v_rea", "nll", "nll_z", "r_dist", "r_div", "signals"}
    assert set(item["reward"]) == {"status", "total", "gate"} | components
    assert set(item["reward"]["signals"]) == {"n_tokens", "length_ratio", "repeated", "copied"}
    group = client.post("/v1/diversity", json=body).json()["groups"][0]
    assert group["candidates"][1]["r_div"] is None and group["diversity"] == 0.0
    tokens = client.post("/v1/nll", json={**body, "tokens": True}).json()["groups"][0]["candidates"][0]["tokens"]
    assert tokens == [{"text": "a", "logprob": -0.5}] * 2


def test_a_failed_candidate_has_no_number(client):
    body = {"groups": [{**GROUP, "candidates": ["fail=judge_unavailable@judge", "ans=0"]}]}
    failed, wrong = client.post("/v1/reward", json=body).json()["groups"][0]["candidates"]
    assert (failed["status"], failed["total"], failed["gate"], failed["v_ans"]) == ("failed", None, None, 1)
    assert failed["error"] == {"code": "judge_unavailable", "message": "as the test says", "retryable": True}
    assert (wrong["status"], wrong["total"], wrong["gate"]) == ("scored", 0.0, "wrong")


def test_absent_ids_are_the_index(client):
    bare = {k: v for k, v in GROUP.items() if k != "id"}
    answer = client.post("/v1/verify", json={"groups": [bare, {**bare, "id": "x"}, bare]}).json()
    assert [g["id"] for g in answer["groups"]] == ["0", "x", "2"]


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


def test_routing_errors_have_the_same_body(client):
    for response, status, code in (
        (client.get("/v2/reward"), 404, "not_found"),
        (client.get("/v1/reward"), 405, "method_not_allowed"),
        (
            client.post("/v1/reward", json={"groups": [GROUP]}, headers={"X-Deadline-Ms": "soon"}),
            422,
            "invalid_request",
        ),
        (client.post("/v1/reward", json={"groups": [GROUP]}, headers={"X-Deadline-Ms": "0"}), 422, "invalid_request"),
    ):
        assert response.status_code == status and error_of(response)["code"] == code


def test_a_scorer_that_is_off_is_a_503_that_says_so():
    with serve_app(plain_scorers(judge=None)) as server, server.client() as client:
        for endpoint in ("judge", "reward"):
            response = client.post(f"/v1/{endpoint}", json={"groups": [GROUP]})
            error = error_of(response)
            assert (response.status_code, error["code"], error["retryable"]) == (503, "scorer_off", False)
            assert "judge" in error["message"]
        assert client.post("/v1/nll", json={"groups": [GROUP]}).status_code == 200
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("reasoning", ["checks", "off"])
def test_a_service_without_a_judge_serves_rules_that_need_none(reasoning):
    with serve_app(plain_scorers(judge=None)) as server, server.client() as client:
        answer = client.post("/v1/reward", json={"groups": [GROUP], "rule": {"reasoning": reasoning}}).json()
        assert {c["v_rea"] for c in answer["groups"][0]["candidates"] if c["v_ans"]} <= {0, 1}
        served = answer["served_by"]
        assert served["rule"]["reasoning"] == reasoning and "judge" not in served["scorers"]
        assert ("checks" in served["scorers"]) == (reasoning == "checks")
        bare = {key: value for key, value in GROUP.items() if key != "reference"} | {"answer": "42"}
        told = client.post("/v1/reward", json={"groups": [bare], "rule": {"reasoning": reasoning}})
        if reasoning == "checks":
            assert told.status_code == 422 and "reference" in error_of(told)["message"]
        else:
            assert told.status_code == 200, told.text


def test_a_full_queue_is_a_429_with_retry_after():
    scorers = plain_scorers(verify=PlainVerifier(trouble=Overloaded("full", retry_after=2.2)))
    with serve_app(scorers) as server, server.client() as client:
        for endpoint in ("verify", "reward"):
            response = client.post(f"/v1/{endpoint}", json={"groups": [GROUP]})
            assert response.status_code == 429 and response.headers["Retry-After"] == "3"
            assert error_of(response)["retryable"] is True


def test_a_bug_is_a_500_without_its_text():
    with serve_app(plain_scorers(nll=PlainNll(trouble=ValueError("secret")))) as server, server.client() as client:
        response = client.post("/v1/nll", json={"groups": [GROUP]})
        assert response.status_code == 500 and error_of(response)["code"] == "internal"
        assert "secret" not in response.text
        assert client.post("/v1/verify", json={"groups": [GROUP]}).status_code == 200


def test_the_callers_deadline_is_kept():
    judge = PlainJudge(delay=NEVER)
    with serve_app(plain_scorers(judge=judge)) as server, server.client() as client:
        for milliseconds in (200, 2_000, 20_000):  # the longer ones for machines that need them to get to the judge
            headers = {"X-Deadline-Ms": str(milliseconds)}
            response = client.post("/v1/reward", json={"groups": [GROUP]}, headers=headers)
            assert response.status_code == 504
            assert error_of(response)["retryable"] is True
            if judge.begun:
                break
        assert judge.cancelled == judge.begun == 1


def test_a_deadline_that_nothing_can_keep_is_refused_whether_or_not_its_body_came_in_time(client):
    """However late, the answer is the refusal, which says when to come again."""
    response = client.post("/v1/reward", json={"groups": [GROUP]}, headers={"X-Deadline-Ms": "1"})
    assert response.status_code == 429 and response.headers["Retry-After"] == "1"


def test_work_for_a_caller_who_left_is_dropped():
    judge = PlainJudge(delay=NEVER)
    with serve_app(plain_scorers(judge=judge)) as server:

        async def leave() -> None:
            async with httpx.AsyncClient(base_url=server.url, timeout=NEVER) as client:
                asking = asyncio.create_task(client.post("/v1/judge", json={"groups": [GROUP]}))
                await until_so(lambda: judge.begun)
                asking.cancel()
                await until_so(lambda: judge.cancelled)

        asyncio.run(leave())
        assert judge.cancelled == judge.begun == 1


def test_keys():
    settings = Settings(api_keys="one,two")
    with serve_app(plain_scorers(), settings) as server, server.client() as client:
        for headers in (
            {},
            {"Authorization": "Bearer three"},
            {"Authorization": "Basic one"},
            {"Authorization": "one"},
        ):
            for response in (
                client.post("/v1/reward", json={"groups": [GROUP]}, headers=headers),
                client.get("/v1/info", headers=headers),
            ):
                assert response.status_code == 401 and error_of(response)["code"] == "unauthorized"
                assert response.headers["WWW-Authenticate"] == "Bearer"
        for key in ("one", "two"):
            headers = {"Authorization": f"Bearer {key}"}
            assert client.post("/v1/reward", json={"groups": [GROUP]}, headers=headers).status_code == 200
            info = client.get("/v1/info", headers=headers)
            assert info.json()["settings"]["api_keys"] == 2 and '"one"' not in info.text
        for path in ("/healthz", "/readyz", "/metrics"):
            assert client.get(path).status_code == 200


def test_readiness_tells_which_scorer_is_not_well_and_health_does_not_care():
    nll = PlainNll(trouble=ScorerUnavailable("nll stopped"))
    with serve_app(plain_scorers(nll=nll)) as server, server.client() as client:
        response = client.get("/readyz")
        assert response.status_code == 503 and error_of(response)["detail"] == {"nll": "nll stopped"}
        assert client.get("/healthz").status_code == 200
        nll.trouble = None
        assert client.get("/readyz").json() == {"status": "ready"}


def test_metrics_count_requests_outcomes_and_gates(client):
    body = {"groups": [{**GROUP, "candidates": ["nll=0.5", "ans=0", "fail=out_of_memory@nll"]}]}
    client.post("/v1/reward", json=body)
    client.get("/no/such/path/1")
    text = client.get("/metrics").text
    for line in (
        'rewright_requests_total{path="/v1/reward",status="200"}',
        'rewright_candidates_total{endpoint="reward",outcome="out_of_memory"}',
        'rewright_gates_total{gate="wrong"}',
        'rewright_requests_total{path="unknown",status="404"}',
        'rewright_scorer_idle_seconds{scorer="nll"}',
    ):
        assert line in text
    assert "/no/such/path" not in text


def test_request_ids_travel(client):
    assert client.get("/healthz", headers={"X-Request-Id": "job-7:step.3"}).headers["X-Request-Id"] == "job-7:step.3"
    hostile = client.get("/healthz", headers={"X-Request-Id": 'a" b'}).headers["X-Request-Id"]
    assert len(hostile) == 32


def test_the_openapi_description_names_body_answers_and_errors(client):
    described = client.get("/openapi.json").json()
    assert client.get("/docs").status_code == 200
    for endpoint in ENDPOINTS:
        post = described["paths"][f"/v1/{endpoint}"]["post"]
        assert post["requestBody"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/ScoreRequest"
        }
        assert set(post["responses"]) == {"200", "401", "413", "422", "429", "500", "503", "504"}
    text = json.dumps(described)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(described["components"]["schemas"])


def test_every_operation_has_a_plain_name_and_its_example_works(client):
    paths = client.get("/openapi.json").json()["paths"]
    named = {path: operation for path, methods in paths.items() for operation in methods.values()}
    assert {path: operation["operationId"] for path, operation in named.items()} == {
        path: path.removeprefix("/v1").strip("/").replace("/", "_") for path in paths
    }
    for path, operation in named.items():
        if "requestBody" in operation:
            answered = client.post(path, json=operation["requestBody"]["content"]["application/json"]["example"])
            assert answered.status_code == 200, (path, answered.text)


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
