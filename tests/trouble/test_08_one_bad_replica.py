"""A replica that refuses, or fails every candidate, costs no candidate while another one is well; and it comes back."""

import asyncio
import itertools
import json
import time

import pytest

from rewright.service.errors import ScorerUnavailable
from rewright.service.schema import Failed
from rewright.service.settings import Settings
from tests import waiting
from tests.live_server import serve_app
from tests.plain_scorers import PlainNll
from tests.trouble.odd_pod import Reply, behind_gateway, groups, nlls, odd_pod, remote_nll, run, until


def refusing(status, code="as_the_test_says", *, everywhere=False):
    error = {"code": code, "message": "no", "retryable": False}

    def change(path, reply):
        if path == "/v1/nll" or (everywhere and path != "/healthz"):
            headers = {"content-type": "application/json", "location": "http://127.0.0.1:9/"}
            return Reply(status, headers, [json.dumps({"error": error}).encode()])
        return reply

    return change


def failing(code, *, retryable=True):
    def change(path, reply):
        if path != "/v1/nll":
            return reply
        said = reply.json
        for group in said["groups"]:
            failed = Failed.because(code, "as the test says", retryable=retryable).model_dump()
            group["candidates"] = [failed] * len(group["candidates"])
        return reply.saying(said)

    return change


REFUSALS = {
    "401": refusing(401, "unauthorized"),
    "401 everywhere": refusing(401, "unauthorized", everywhere=True),
    "403": refusing(403),
    "404": refusing(404, "not_found"),
    "404 everywhere": refusing(404, "not_found", everywhere=True),
    "405": refusing(405),
    "302": refusing(302),
    "307 everywhere": refusing(307, everywhere=True),
    "400": refusing(400),
    "413": refusing(413, "too_large"),
    "422": refusing(422, "invalid_request"),
    "451": refusing(451),
    "scorer_off": refusing(503, "scorer_off"),
    "501": refusing(501),
    "520": refusing(520),
    "204": refusing(204),
    "internal": failing("internal"),
    "not finite": failing("not_finite", retryable=False),
    "unavailable": failing("scorer_unavailable"),
    "a plug-in's code": failing("broken_gpu"),
}


@pytest.mark.parametrize("bad", REFUSALS)
@pytest.mark.parametrize("sticky", [False, True])
def test_work_goes_to_the_replica_that_is_well(bad, sticky):
    with odd_pod(REFUSALS[bad], nll=PlainNll()) as ill, odd_pod(nll=PlainNll()) as well:

        async def scenario(scorer):
            for start in range(0, 90, 30):
                found = await scorer.score(groups(30, start=start))
                assert nlls(found) == [[1.0, 2.0]] * 30
            # Not forever: after three groups that it could not score it is only asked whether it is back.
            numbers = itertools.count(1000, 8)
            while [ill.url in line for line in scorer.troubles()] != [True]:
                assert nlls(await scorer.score(groups(8, start=next(numbers)))) == [[1.0, 2.0]] * 8

        run(remote_nll(ill.url, well.url, sticky=sticky), scenario)


@pytest.mark.parametrize("bad", ["401", "404 everywhere", "422", "scorer_off", "internal"])
def test_a_replica_that_is_well_again_is_back(bad):
    with odd_pod(REFUSALS[bad], nll=PlainNll()) as ill, odd_pod(nll=PlainNll()) as well:

        async def scenario(scorer):
            number = iter(range(0, 10_000, 8))
            while not scorer.replica_state().away:
                await scorer.score(groups(8, start=next(number)))
            # While it is not well it stays away: being asked is not being taken back.
            asked = len(ill.asked)
            await until(lambda: len(ill.asked) > asked + 2, seconds=60)
            assert any(ill.url in line for line in scorer.troubles())
            ill.change = None
            await until(lambda: not scorer.replica_state().away, seconds=60)
            before = ill.count("/v1/nll")
            while ill.count("/v1/nll") == before:
                assert nlls(await scorer.score(groups(8, start=next(number)))) == [[1.0, 2.0]] * 8

        run(remote_nll(ill.url, well.url), scenario)


@pytest.mark.parametrize("bad", ["401", "302", "400", "413", "422", "404 everywhere", "scorer_off"])
def test_what_every_replica_refuses_fails_at_once_and_says_why(bad):
    reason = bad.split()[0]
    with odd_pod(REFUSALS[bad], nll=PlainNll()) as one, odd_pod(REFUSALS[bad], nll=PlainNll()) as other:

        async def scenario(scorer):
            for start in (0, 100):
                before = time.monotonic()
                with pytest.raises(ScorerUnavailable, match=reason):
                    await scorer.score(groups(3, start=start))
                assert time.monotonic() - before < 10
            assert one.count("/v1/nll") + other.count("/v1/nll") < 40

        run(remote_nll(one.url, other.url), scenario)


def test_what_every_replica_fails_is_answered_as_it_is_and_all_stay_in_use():
    with odd_pod(failing("internal"), nll=PlainNll()) as one, odd_pod(failing("internal"), nll=PlainNll()) as other:

        async def scenario(scorer):
            assert nlls(await scorer.score(groups(40))) == [["internal"] * 2] * 40
            assert scorer.replica_state()[:2] == (2, 0)
            assert one.count("/v1/nll") + other.count("/v1/nll") <= 2 * 40

        run(remote_nll(one.url, other.url), scenario)


def test_candidates_that_fail_of_themselves_take_no_replica_away():
    with odd_pod(nll=PlainNll()) as one, odd_pod(nll=PlainNll()) as other:

        async def scenario(scorer):
            for start in range(0, 100, 10):
                asked = [
                    group.model_copy(update={"candidates": [f"fail={code}@nll", f"fail={code}@nll"]})
                    for group, code in zip(
                        groups(10, start=start),
                        ["too_long", "blank", "internal", "deadline", "overloaded"] * 2,
                        strict=True,
                    )
                ]
                found = nlls(await scorer.score([*asked, *groups(10, start=1000 + start)]))
                assert found[:5] == [[code] * 2 for code in ("too_long", "blank", "internal", "deadline", "overloaded")]
                assert found[10:] == [[1.0, 2.0]] * 10
            assert scorer.replica_state()[:2] == (2, 0)

        run(remote_nll(one.url, other.url), scenario)


def test_a_group_is_refused_once_by_each_replica_and_its_neighbours_are_answered():
    settings = Settings(limits={"characters": 4000})
    with odd_pod(nll=PlainNll(), settings=settings) as one, odd_pod(nll=PlainNll(), settings=settings) as other:

        async def scenario(scorer):
            (long,) = groups(1, start=5000)
            long = long.model_copy(update={"candidates": ["nll=1 " + "a" * 5000]})
            found = await scorer.score([*groups(20), long, *groups(20, start=100)])
            assert nlls(found) == [[1.0, 2.0]] * 20 + [["scorer_unavailable"]] + [[1.0, 2.0]] * 20
            assert scorer.replica_state()[:2] == (2, 0)

        run(remote_nll(one.url, other.url), scenario)


def test_the_gateway_says_which_replica_is_away_and_why():
    with (
        odd_pod(REFUSALS["401"], nll=PlainNll()) as ill,
        odd_pod(nll=PlainNll()) as well,
        serve_app(behind_gateway(remote_nll(ill.url, well.url))) as front,
        front.client() as client,
    ):
        body = [group.model_dump(exclude_none=True) for group in groups(40)]
        answer = client.post("/v1/nll", json={"groups": body}).json()
        assert {c["status"] for g in answer["groups"] for c in g["candidates"]} == {"scored"}

        told = []

        def is_told() -> bool:
            """Not while the pod is tried again, which a slow machine may be in the middle of."""
            client.post("/v1/nll", json={"groups": body})
            metrics = client.get("/metrics").text
            lines = [w for w in client.get("/v1/info").json()["troubles"].get("nll", []) if ill.url in w]
            away = 'rewright_replicas{scorer="nll",state="away"} 1.0' in metrics
            told.extend(lines if away else [])
            return bool(told)

        waiting.until(is_told)
        assert "401 unauthorized" in told[0]
        assert client.get("/readyz").status_code == 200


def test_a_pod_that_is_away_while_the_other_refuses_is_waited_for():
    with odd_pod(REFUSALS["422"], nll=PlainNll()) as ill, odd_pod(nll=PlainNll()) as well:

        async def scenario(scorer):
            well.change = refusing(503, "scorer_unavailable")
            asking = asyncio.create_task(scorer.score(groups(3)))
            await until(lambda: well.count("/v1/nll"))
            well.change = None
            assert nlls(await asking) == [[1.0, 2.0]] * 3

        run(remote_nll(ill.url, well.url), scenario)
