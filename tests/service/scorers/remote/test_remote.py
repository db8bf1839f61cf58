"""Scorers in pods of their own: the same app with one scorer local, behind a gateway that has them remote."""

import pytest

from rewright.service.schema import DiversityGroup, JudgeGroup, NllGroup, VerifyGroup
from rewright.service.scorers.base import Scorers
from rewright.service.scorers.remote.scorer import RemoteScorer
from tests.live_server import free_port, serve_app
from tests.plain_scorers import PlainDiversity, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.waiting import PATIENCE_S

GROUPS = [
    {"id": f"g{i}", "problem": "p", "reference": "r", "candidates": ["nll=0.5 e=0", f"nll={i} e=1", "ans=0", "rea=0"]}
    for i in range(5)
]


def gateway(urls):
    return Scorers(
        verify=RemoteScorer("verify", VerifyGroup, urls=[urls["verify"]], timeout_s=PATIENCE_S),
        judge=RemoteScorer("judge", JudgeGroup, urls=[urls["judge"]], timeout_s=PATIENCE_S),
        nll=RemoteScorer("nll", NllGroup, urls=[urls["nll"]], timeout_s=PATIENCE_S),
        diversity=RemoteScorer("diversity", DiversityGroup, urls=[urls["diversity"]], timeout_s=PATIENCE_S),
    )


def pod(**on):
    off = dict.fromkeys(("verify", "judge", "nll", "diversity"))
    return serve_app(plain_scorers(**{**off, **on}))


def test_remote_scorers_give_the_rewards_of_local_ones():
    with (
        pod(verify=PlainVerifier()) as verify,
        pod(judge=PlainJudge()) as judge,
        pod(nll=PlainNll()) as nll,
        pod(diversity=PlainDiversity()) as diversity,
        serve_app(plain_scorers()) as local,
    ):
        urls = {"verify": verify.url, "judge": judge.url, "nll": nll.url, "diversity": diversity.url}
        with serve_app(gateway(urls)) as front, front.client() as here, local.client() as there:
            ours = here.post("/v1/reward", json={"groups": GROUPS}).json()
            assert ours["groups"] == there.post("/v1/reward", json={"groups": GROUPS}).json()["groups"]
            tokens = here.post("/v1/nll", json={"groups": GROUPS[:1], "tokens": True}).json()
            assert len(tokens["groups"][0]["candidates"][0]["tokens"]) == 2


def test_a_dead_pod_fails_items_and_leaves_the_gateway_ready(monkeypatch):
    monkeypatch.setattr("rewright.service.scorers.remote.scorer.PATIENCE_S", 0.3)
    with (
        pod(verify=PlainVerifier()) as verify,
        pod(judge=PlainJudge()) as judge,
        pod(diversity=PlainDiversity()) as div,
    ):
        dead = f"http://127.0.0.1:{free_port()}"
        urls = {"verify": verify.url, "judge": judge.url, "nll": dead, "diversity": div.url}
        with serve_app(gateway(urls)) as front, front.client() as client:
            group = client.post("/v1/reward", json={"groups": GROUPS[:1]}).json()["groups"][0]
            assert [c["status"] for c in group["candidates"]] == ["failed", "failed", "scored", "scored"]
            assert {c["error"]["code"] for c in group["candidates"][:2]} == {"scorer_unavailable"}
            assert all(c["error"]["retryable"] and c["total"] is None for c in group["candidates"][:2])
            assert client.post("/v1/nll", json={"groups": GROUPS[:1]}).status_code == 503
            assert client.get("/readyz").status_code == 200
            assert client.get("/v1/info").json()["scorers"]["nll"]["reachable"] is False


@pytest.mark.parametrize("missing", ["judge", "nll"])
def test_a_pod_that_has_the_scorer_off_is_named(missing):
    with pod(verify=PlainVerifier()) as only_verify:
        scorer = gateway(dict.fromkeys(("verify", "judge", "nll", "diversity"), only_verify.url))
        with serve_app(scorer) as front, front.client() as client:
            response = client.post(f"/v1/{missing}", json={"groups": GROUPS[:1]})
            assert response.status_code == 503 and "scorer_off" in response.json()["error"]["message"]
