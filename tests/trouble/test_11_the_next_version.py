"""A newer pod behind an older gateway, and a newer service before an older client: what is added is ignored."""

import json

import pytest

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import InternalError, InvalidRequest, Rule
from rewright.service.schema import WIRE, DiversityGroup, Group, ScoreRequest
from rewright.service.scorers.remote.post import Post
from rewright.service.scorers.spec import OPTIONS
from tests.live_server import serve_app
from tests.plain_scorers import PlainDiversity, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.service.scorers.remote.test_remote import gateway
from tests.trouble.odd_pod import odd_pod

GROUP = {"id": "a", "problem": "p", "reference": "r", "candidates": ["nll=1 e=0", "nll=2 e=1", "ans=0", ""]}
RULE = {"weights": {}, "lambda_div": 2.0, "guards": {"max_length_ratio": 1000.0}}
NEWS = {"added_later": {"deep": [1, {"more": None}]}, "added_too": "text"}
TABLES = {"weights", "scores", "scorers"}


def every():
    return {"verify": PlainVerifier(), "judge": PlainJudge(), "nll": PlainNll(), "diversity": PlainDiversity()}


def grown(value):
    """What a later version may say: every object of the answer has further fields, but for tables by name."""
    if isinstance(value, dict):
        return {**NEWS, **{name: inner if name in TABLES else grown(inner) for name, inner in value.items()}}
    return [grown(inner) for inner in value] if isinstance(value, list) else value


def next_version(path, reply):
    if not path.startswith("/v1/") or path == "/v1/info":
        return reply
    said = grown(reply.json)
    if "served_by" in said:
        said["served_by"]["wire"] = WIRE + 1
    return reply.saying(said)


def test_a_gateway_reads_pods_of_the_next_version():
    with odd_pod(next_version, **every()) as pod, serve_app(plain_scorers()) as local:
        urls = dict.fromkeys(("verify", "judge", "nll", "diversity"), pod.url)
        with serve_app(gateway(urls)) as front, front.client() as here, local.client() as there:
            for endpoint, extra in (
                ("reward", {"rule": RULE}),
                ("nll", {"tokens": True}),
                ("diversity", {"similarities": True}),
                *(((name), {}) for name in ("verify", "judge", "diversity")),
            ):
                body = {"groups": [GROUP], **extra}
                ours = here.post(f"/v1/{endpoint}", json=body)
                assert ours.status_code == 200
                assert ours.json()["groups"] == there.post(f"/v1/{endpoint}", json=body).json()["groups"]
                # What this service does not know it does not tell either.
                assert "added_later" not in json.dumps(ours.json()["groups"])


def test_a_client_reads_a_service_of_the_next_version():
    with odd_pod(next_version, **every()) as server, RewardClient(server.url, deadline_s=20.0) as client:
        found = client.reward([GROUP], rule=RULE)
        assert [c.gate for c in found.groups[0].candidates] == ["open", "open", "wrong", "blank"]
        assert found.served_by.rule == Rule.model_validate(RULE)
        assert found.served_by.wire == WIRE + 1
        assert client.nll([GROUP], tokens=True).groups[0].candidates[0].tokens is not None
        assert client.score("nll", [GROUP]).groups[0].candidates[1].nll == 2.0
        with pytest.raises(InvalidRequest, match="problem"):
            client.nll([{"candidates": ["a"]}])


def test_answers_tell_the_version_of_the_language_and_older_ones_are_read():
    def without(path, reply):
        said = reply.json
        del said["served_by"]["wire"]
        return reply.saying(said)

    with odd_pod(**every()) as server, RewardClient(server.url) as client:
        assert client.nll([GROUP]).served_by.wire == WIRE
        server.change = without
        assert client.nll([GROUP]).served_by.wire == 0


@pytest.mark.parametrize(
    ("where", "value"),
    [("status", "guessed"), ("nll", None), ("nll", "absent"), ("n_tokens", "absent"), ("status", "absent")],
)
def test_an_unknown_status_and_a_missing_field_are_refused(where, value):
    def other(path, reply):
        if path != "/v1/nll":
            return reply
        said = reply.json
        item = said["groups"][0]["candidates"][0]
        if value == "absent":
            del item[where]
        else:
            item[where] = value
        return reply.saying(said)

    with odd_pod(other, nll=PlainNll()) as server:
        with RewardClient(server.url, deadline_s=5.0) as client, pytest.raises(InternalError, match="cannot be used"):
            client.nll([GROUP])
        scorers = gateway(dict.fromkeys(("verify", "judge", "nll", "diversity"), server.url))
        with serve_app(scorers) as front, front.client() as client:
            assert client.post("/v1/nll", json={"groups": [GROUP]}).status_code == 503


def test_an_option_that_is_off_is_in_no_request_so_that_who_is_older_takes_it():
    group = Group(**GROUP)
    for on in ({}, *({name: True} for name in OPTIONS)):
        asked = ScoreRequest(groups=[group], **on).model_dump(mode="json")
        assert asked.keys() & OPTIONS == on.keys()
        posted = json.loads(Post("diversity", DiversityGroup).body([group], on.keys()))
        assert posted.keys() == {"groups", *on}


def test_a_request_is_held_to_the_fields_there_are():
    with serve_app(plain_scorers()) as server, server.client() as client:
        for body, named in (
            ({"groups": [{**GROUP, "added_later": 1}]}, "groups.0.added_later"),
            ({"groups": [GROUP], "added_later": 1}, "added_later"),
            ({"groups": [GROUP], "rule": {"guards": {"added_later": 1}}}, "rule.guards.added_later"),
        ):
            answer = client.post("/v1/reward", json=body)
            assert answer.status_code == 422 and named in answer.json()["error"]["message"]
