"""The wire format over real HTTP: answers, the one error body, deadlines, metrics, and who may call.

Runs on scorers that stand at the protocol; bodies are in test_bodies, and real scorers in test_embedded_service.
"""

import asyncio
import json

import httpx
import pytest

from rewright.service.errors import Overloaded, ScorerUnavailable
from rewright.service.settings import Settings
from tests.live_server import serve_app
from tests.plain_scorers import NEVER, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.service.http.wire import ENDPOINTS, GROUP, error_of
from tests.waiting import until_so


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
    assert "similarities" not in group
    more = client.post("/v1/diversity", json={**body, "similarities": True}).json()["groups"][0]
    assert more == {**group, "similarities": [[1.0, None], None]}
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
