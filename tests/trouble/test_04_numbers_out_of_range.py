"""No number that is not finite, or out of its range, passes a boundary: pods, caches, plug-ins, models, the client."""

import asyncio
import json
import math

import httpx
import pytest
import torch
from pydantic import ValidationError

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import InternalError
from rewright.service import schema
from rewright.service.schema import DiversityGroup, DiversityScored, Failed, Group, NllGroup, NllScored, ScalarScored
from rewright.service.scorers.base import Scorers, check_contract
from rewright.service.scorers.diversity.scorer import marginal_diversity
from rewright.service.scorers.judge.verdicts import p_valid
from rewright.service.scorers.nll.scorer import _item
from rewright.service.scorers.scalar import ScalarScorer
from rewright.service.scorers.spec import ScorerSpec
from tests.live_server import serve_app
from tests.plain_scorers import PlainDiversity, PlainNll, plain_scorers
from tests.trouble.odd_pod import behind_gateway, odd_pod, remote_nll

ABSURD = ["NaN", "Infinity", "-Infinity", "1e200", "-1e200", '"much"', "null"]
GROUP = {"problem": "p", "reference": "r", "candidates": ["nll=1 e=0", "nll=2 e=1"]}


REWARD = {"gate": "open", "total": 1.0}
REWARD_GROUP = {"id": "g", "candidates": [], "feasible": 1, "failed": 0, "nll_mean": 1, "nll_std": 0, "diversity": 0}
NUMBERS = [
    # model, what else it says, field, whether null says that there is none
    ("JudgeScored", {"valid": True, "verdict": "valid"}, "score", True),
    ("NllScored", {"n_tokens": 3}, "nll", False),
    ("NllScored", {"nll": 0.5}, "n_tokens", False),
    ("NllScored", {"nll": 0.5, "n_tokens": 3}, "nll_tail", True),
    ("TokenLogprob", {"text": "a"}, "logprob", False),
    ("DiversityScored", {}, "r_div", True),
    ("ScalarScored", {}, "score", False),
    ("AnyScored", {}, "score", True),
    ("DiversityGroup", {"id": "g", "candidates": []}, "diversity", True),
    ("RewardScored", REWARD, "total", False),
    *(("RewardScored", REWARD, name, True) for name in ("v_ans", "nll", "nll_dist", "nll_z", "r_dist", "r_div")),
    ("RewardScored", REWARD, "scores", False),
    *(("RewardGroup", REWARD_GROUP, name, True) for name in ("nll_mean", "nll_std", "diversity")),
    *(("RewardGroup", REWARD_GROUP, name, False) for name in ("feasible", "failed")),
]


@pytest.mark.parametrize(
    ("model", "said", "field", "number"),
    [
        (model, said, field, number)
        for model, said, field, nullable in NUMBERS
        for number in ABSURD
        if not (nullable and number == "null") and not (field == "nll_z" and "1e200" in number)
    ],
)
def test_no_result_can_be_read_that_holds_an_absurd_number(model, said, field, number):
    kind = getattr(schema, model)
    signals = {"n_tokens": 3, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.0}
    value = {"extra": "HERE"} if field == "scores" else "HERE"
    fields = {"signals": signals} if model == "RewardScored" else {}
    written = json.dumps(fields | said | {field: value})
    kind.model_validate_json(written.replace('"HERE"', "0" if field == "logprob" else "1"))
    with pytest.raises(ValidationError):
        kind.model_validate_json(written.replace('"HERE"', number))


@pytest.mark.parametrize("number", ABSURD)
def test_what_a_pod_answers_out_of_range_fails_its_candidates_and_never_the_request(number):
    def absurd(path, reply):
        if path == "/v1/nll":
            reply.pieces = [b"".join(reply.pieces).replace(b'"nll":2.0', b'"nll":' + number.encode())]
        return reply

    with (
        odd_pod(absurd, nll=PlainNll()) as pod,
        serve_app(behind_gateway(remote_nll(pod.url))) as front,
        front.client() as client,
    ):
        answer = client.post("/v1/reward", json={"groups": [GROUP, {**GROUP, "candidates": ["nll=1", "ans=0"]}]})
        assert answer.status_code == 200
        bad, good = (group["candidates"] for group in answer.json()["groups"])
        assert [c["error"]["code"] for c in bad] == ["scorer_unavailable"] * 2
        assert [c["status"] for c in good] == ["scored", "scored"]
        assert all(math.isfinite(c["total"]) for c in good)


class Unchecked(PlainNll):
    """A scorer that makes its items without their being checked, as a plug-in may."""

    def __init__(self, number):
        super().__init__()
        self._number = number

    def _group(self, group, tokens):
        items = [
            NllScored.model_construct(status="scored", nll=self._number if "bad" in text else 1.0, n_tokens=2)
            for text in group.candidates
        ]
        return NllGroup.model_construct(id=group.id, candidates=items)


@pytest.mark.parametrize("number", [math.nan, math.inf, 1e200, -5.0, "much", None])
def test_what_a_plugin_does_not_check_fails_that_candidate_alone(number):
    with serve_app(plain_scorers(nll=Unchecked(number))) as server, server.client() as client:
        texts = ["bad e=0", "fine e=1"]
        nll = client.post("/v1/nll", json={"groups": [{**GROUP, "candidates": texts}]})
        assert nll.status_code == 200
        first, second = nll.json()["groups"][0]["candidates"]
        assert (first["error"]["code"], second["nll"]) == ("not_finite", 1.0)
        reward = client.post("/v1/reward", json={"groups": [{**GROUP, "candidates": texts}]}).json()
        assert [c["status"] for c in reward["groups"][0]["candidates"]] == ["failed", "scored"]


def test_a_number_of_the_whole_group_that_is_out_of_range_fails_its_candidates():
    class Wide(PlainDiversity):
        def _group(self, group, tokens):
            items = [DiversityScored(r_div=0.1)] * len(group.candidates)
            return DiversityGroup.model_construct(id=group.id, candidates=items, diversity=math.nan)

    group = Group(id="g", candidates=["a", "b"])
    (found,) = check_contract("diversity", [group], asyncio.run(Wide().score([group])))
    assert [c.error.code for c in found.candidates] == ["not_finite"] * 2 and found.diversity is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -1e13, 1e200])
def test_a_scalar_out_of_range_fails_alone(number):
    spec = ScorerSpec("fluency", "a number", build=lambda _: Numbers())

    class Numbers(ScalarScorer):
        async def numbers(self, group):
            return [number, 3.0]

    (found,) = asyncio.run(Numbers(spec).score([Group(id="g", candidates=["a", "b"])]))
    assert found.candidates[0].error.code == "not_finite" and found.candidates[1] == ScalarScored(score=3.0)


@pytest.mark.parametrize(
    "logprobs", [[math.nan, -1.0], [-math.inf, -1.0], [5.0, 5.0], [-1e8, -1.0], [math.inf, -math.inf]]
)
@pytest.mark.parametrize("told", [True, False])
def test_log_probabilities_that_are_none_fail_their_candidate(logprobs, told):
    class Format:
        def token_text(self, token):
            return "a"

    outcome = torch.tensor(logprobs, dtype=torch.float64)
    item = _item((1, 2), outcome, False, Format() if told else None)
    assert isinstance(item, Failed) and item.error.code == "not_finite"


def test_rounding_leaves_diversity_in_its_range():
    import numpy as np

    for scale in (1.0, 1.0 + 1e-6):  # as unit vectors of float32 are
        apart = np.array([[1.0, 0.0], [-1.0, 0.0]]) * scale
        found = marginal_diversity(apart)
        assert found.total == 1.0 and (found.r_div_K <= 1.0).all()


@pytest.mark.parametrize(("valid", "invalid"), [(math.nan, -1.0), (math.inf, -1.0), (math.inf, math.inf)])
def test_a_judge_without_probabilities_gives_no_number(valid, invalid):
    assert p_valid([valid], [invalid]).score is None


def test_a_total_beyond_all_use_is_a_failure_and_no_500():
    with serve_app(plain_scorers()) as server, server.client() as client:
        for large in (1e200, 1.7e308):
            rule = {"lambda_dist": large, "lambda_div": -large}
            answer = client.post("/v1/reward", json={"groups": [GROUP], "rule": rule})
            assert answer.status_code == 200
            assert {c["error"]["code"] for c in answer.json()["groups"][0]["candidates"]} == {"not_finite"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e200", "null"])
def test_the_client_takes_no_total_that_is_none(number):
    def absurd(path, reply):
        if path == "/v1/reward":
            said = reply.json
            for candidate in said["groups"][0]["candidates"]:
                candidate["total"] = "HERE"
            reply.pieces = [json.dumps(said).replace('"HERE"', number).encode()]
        return reply

    scorers = {scorer.name: scorer for scorer in plain_scorers()}
    with odd_pod(absurd, **scorers) as server, RewardClient(server.url, deadline_s=5.0) as client:
        with pytest.raises(InternalError, match="cannot be used"):
            client.reward([GROUP])
        assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_every_scorer_of_a_gateway_that_is_elsewhere_was_checked_on_arrival():
    with odd_pod(nll=PlainNll()) as pod:
        assert behind_gateway(remote_nll(pod.url)).checked == {"nll"}
        assert Scorers(nll=PlainNll()).checked == frozenset()
