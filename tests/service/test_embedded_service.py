"""The whole service as a process of its own on the embedded models: what a user's first five minutes see."""

import json
import math
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
ENDPOINTS = ["verify", "judge", "nll", "diversity", "reward"]
EXAMPLES = json.loads((ROOT / "examples" / "groups.json").read_text(encoding="utf-8"))
SOME = {"groups": EXAMPLES["groups"][:3]}
"""What goes through the models; all of it takes minutes where bfloat16 is emulated."""
EXPECTED = json.loads((ROOT / "examples" / "groups.expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def client(embedded_server):
    with embedded_server.client() as client:
        yield client


def group(*candidates, **fields):
    base = {"problem": "What is 6 times 7?", "reference": "$6 \\cdot 7 = \\boxed{42}$"}
    return {"groups": [{**base, "candidates": list(candidates), **fields}]}


def items(response):
    assert response.status_code == 200, response.text
    return response.json()["groups"][0]["candidates"]


def test_every_example_is_verified_as_labelled(client):
    answer = client.post("/v1/verify", json=EXAMPLES).json()
    assert [g["id"] for g in answer["groups"]] == [g["id"] for g in EXAMPLES["groups"]]
    for g in answer["groups"]:
        assert [int(c["correct"]) for c in g["candidates"]] == EXPECTED[g["id"]], g["id"]


def test_examples_are_rewarded_as_labelled(client):
    answer = client.post("/v1/reward", json=SOME).json()
    assert [g["id"] for g in answer["groups"]] == [g["id"] for g in SOME["groups"]]
    for g in answer["groups"]:
        assert [c["status"] for c in g["candidates"]] == ["scored"] * len(g["candidates"])
        assert [c["v_ans"] or 0 for c in g["candidates"]] == EXPECTED[g["id"]], g["id"]


def test_the_reward_is_made_of_its_components(client):
    body = SOME | {"rule": {"variant": "soft", "lambda_dist": 0.5, "lambda_div": 30.0}}
    for g in client.post("/v1/reward", json=body).json()["groups"]:
        for c in g["candidates"]:
            terms = c["r_task"] + 0.5 * (c["r_dist"] or 0.0) + 30.0 * (c["r_div"] or 0.0)
            assert c["total"] == pytest.approx(terms, abs=1e-9)


def test_single_endpoints_agree_with_the_reward(client):
    body = {"groups": EXAMPLES["groups"][:2], "rule": {"variant": "soft"}}
    whole = client.post("/v1/reward", json=body).json()["groups"]
    for name, field, component in (("verify", "correct", "v_ans"), ("judge", "valid", "v_rea"), ("nll", "nll", "nll")):
        single = client.post(f"/v1/{name}", json=body).json()["groups"]
        for ours, theirs in zip(whole, single, strict=True):
            for c, s in zip(ours["candidates"], theirs["candidates"], strict=True):
                if c[component] is not None:
                    assert c[component] == pytest.approx(float(s[field]), abs=0.03)


def test_per_token_nll_adds_up(client):
    (item,) = items(client.post("/v1/nll", json=group("The answer is 42.") | {"tokens": True}))
    assert len(item["tokens"]) == item["n_tokens"]
    assert -math.fsum(t["logprob"] for t in item["tokens"]) / item["n_tokens"] == pytest.approx(item["nll"], abs=1e-4)
    assert "".join(t["text"] for t in item["tokens"]).startswith("The answer is 42.")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_odd_but_lawful_inputs(client, endpoint):
    odd = [
        "",
        " \n ",
        "nul \x00 byte, the answer is 42",
        "x" * 100_000,
        "<|im_end|> 42",
        "\u202e24\u202c",
        "The answer is $42$.",
    ]
    results = items(client.post(f"/v1/{endpoint}", json=group(*odd)))
    assert len(results) == len(odd)
    assert all(r["status"] in {"scored", "failed"} for r in results)
    assert all(("error" in r) == (r["status"] == "failed") for r in results)
    assert client.get("/readyz").status_code == 200


def test_outcomes_of_odd_inputs_in_the_reward(client):
    odd = ["", "x" * 100_000, "The answer is $42$.", "The answer is $41$."]
    blank, long, right, wrong = items(client.post("/v1/reward", json=group(*odd)))
    assert (blank["gate"], blank["total"]) == ("blank", 0.0)
    assert long["gate"] in {"no_answer", "wrong"} and long["total"] == 0.0
    assert right["v_ans"] == 1 and wrong["gate"] == "wrong"


def test_too_long_and_control_tokens_shut_the_gate(client):
    rule = {"rule": {"variant": "soft"}}
    long, control, plain = items(
        client.post(
            "/v1/reward", json=group("word " * 20_000 + "\\boxed{42}", "<|im_end|> \\boxed{42}", "\\boxed{42}") | rule
        )
    )
    assert long["total"] == 0.0 and long["gate"] in {"too_long", "invalid"} and long["nll"] is None
    assert control["total"] == 0.0 and control["gate"] in {"control_tokens", "invalid"}
    assert plain["r_dist"] == 0.5


def test_one_candidate_is_a_lawful_group(client):
    (only,) = items(client.post("/v1/reward", json=group("$\\boxed{42}$") | {"rule": {"variant": "soft"}}))
    assert (only["r_dist"], only["r_div"]) == (0.5, 0.0)


def test_an_unreadable_gold_fails_its_group_alone(client):
    without_answer = group("\\boxed{42}", reference="The answer is not 5.", id="bad")["groups"][0]
    body = {"groups": [without_answer, group("\\boxed{42}")["groups"][0]]}
    bad, good = client.post("/v1/reward", json=body).json()["groups"]
    assert [(c["status"], c["total"], c["error"]["code"]) for c in bad["candidates"]] == [("failed", None, "bad_gold")]
    assert bad["candidates"][0]["error"]["retryable"] is False
    assert good["candidates"][0]["v_ans"] == 1


def test_info_says_who_computes_and_that_the_judge_is_a_stand_in(client):
    info = client.get("/v1/info").json()
    assert set(info["scorers"]) == {"verify", "judge", "nll", "diversity"}
    assert info["scorers"]["judge"]["stand_in"] is True
    assert any("stand-in" in warning for warning in info["warnings"])
    assert info["scorers"]["nll"]["revision"] and info["scorers"]["nll"]["template"]
    assert info["settings"]["scorers"]["nll"]["where"] == "local"


def test_readiness_survives_an_idle_hour_by_a_micro_score(client):
    assert client.get("/readyz").json() == {"status": "ready"}
    idle = [line for line in client.get("/metrics").text.splitlines() if line.startswith("rewright_scorer_idle")]
    assert len(idle) == 4


def test_the_log_holds_no_text_of_a_candidate(embedded_server, client):
    client.post("/v1/reward", json=group("a-very-private-candidate \\boxed{42}"))
    until(lambda: "/v1/reward" in embedded_server.log.read_text())
    assert "private" not in embedded_server.log.read_text()


def test_real_groups_need_no_5xx(client, shared_rows):
    rows = sorted(shared_rows("groups.jsonl"), key=lambda row: sum(map(len, row["candidates"])))[:180:60]
    body = {
        "groups": [
            {
                "id": r["id"],
                "problem": r["problem"],
                "reference": r["reference_solution"],
                "candidates": r["candidates"],
            }
            for r in rows
        ]
    }
    answer = client.post("/v1/reward", json=body)
    assert answer.status_code == 200
    for row, g in zip(rows, answer.json()["groups"], strict=True):
        assert g["id"] == row["id"] and len(g["candidates"]) == len(row["candidates"]) and g["failed"] == 0
