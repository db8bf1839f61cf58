"""Replicas that differ in what a score depends on are never mixed, and served_by is true of every number."""

import asyncio
import itertools
import logging
import threading
import time
from contextlib import ExitStack

import pytest

from rewright.service.core.request_context import one_answer
from rewright.service.errors import ScorerUnavailable
from rewright.service.schema import NllScored
from rewright.service.scorers.remote.generations import Generations, Said
from tests.live_server import free_port, serve_app
from tests.plain_scorers import PlainNll
from tests.trouble.odd_pod import behind_gateway, groups, nlls, odd_pod, remote_nll, run, until


class Revision(PlainNll):
    """An NLL whose numbers tell which revision made them: the whole part in thousands."""

    def __init__(self, number, *, device="cpu", delay=0.0):
        super().__init__(delay=delay)
        self.number = number
        self.device = device

    def describe(self):
        return {"model": "plain", "revision": f"r{self.number}", "device": self.device, "way": self.device}

    def _group(self, group, tokens):
        result = super()._group(group, tokens)
        moved = [NllScored(nll=item.nll + 1000 * self.number, n_tokens=2) for item in result.candidates]
        return result.model_copy(update={"candidates": moved})


def revisions(results):
    return {int(number) // 1000 for group in nlls(results) for number in group if isinstance(number, float)}


@pytest.mark.parametrize("odd_one", [0, 1, 2])
def test_one_that_differs_is_left_out_and_reported(odd_one, caplog):
    inner = [Revision(2 if k == odd_one else 1) for k in range(3)]
    with ExitStack() as stack, caplog.at_level(logging.WARNING):
        pods = [stack.enter_context(odd_pod(nll=nll)) for nll in inner]
        front = stack.enter_context(serve_app(behind_gateway(remote_nll(*(pod.url for pod in pods)))))
        client = stack.enter_context(front.client())
        body = [group.model_dump(exclude_none=True) for group in groups(120)]
        answer = client.post("/v1/nll", json={"groups": body}).json()
        assert {int(c["nll"]) // 1000 for g in answer["groups"] for c in g["candidates"]} == {1}
        assert answer["served_by"]["scorers"]["nll"]["revision"] == "r1"
        assert not inner[odd_one].asked and sum(len(nll.asked) for nll in inner) == 240
        metrics = client.get("/metrics").text
        assert 'rewright_replicas{scorer="nll",state="different"} 1.0' in metrics
        assert 'rewright_replicas{scorer="nll",state="well"} 2.0' in metrics
        (line,) = client.get("/v1/info").json()["troubles"]["nll"]
        assert pods[odd_one].url in line and 'revision is "r2" instead of "r1"' in line
        assert any("left out" in record.message and '"r2"' in record.message for record in caplog.records)


def test_another_device_is_no_difference():
    with odd_pod(nll=Revision(1, device="cpu")) as one, odd_pod(nll=Revision(1, device="cuda:0")) as other:

        async def scenario(scorer):
            await scorer.score(groups(100))
            assert scorer.replica_state() == (2, 0, 0, 0)
            assert {"device", "way"}.isdisjoint(scorer.describe())

        run(remote_nll(one.url, other.url), scenario)


def test_a_pod_that_came_back_as_another_is_noticed_by_its_answer():
    """No connection broke and no name changed: only the answers say it."""
    with odd_pod(nll=(nll := Revision(1))) as pod, odd_pod(nll=Revision(1)) as other:

        async def scenario(scorer):
            await scorer.score(groups(20))
            nll.number = 2
            for start in range(100, 200, 20):
                assert revisions(await scorer.score(groups(20, start=start))) == {1}
            state = scorer.replica_state()
            assert (state.well, state.away, state.different) == (1, 0, 1)
            assert scorer.describe()["revision"] == "r1"

        run(remote_nll(pod.url, other.url), scenario)


def test_the_sole_pod_with_another_model_is_served_as_what_it_is():
    with odd_pod(nll=(nll := Revision(1))) as pod:

        async def scenario(scorer):
            assert revisions(await scorer.score(groups(3))) == {1}
            nll.number = 2
            assert revisions(await scorer.score(groups(3, start=10))) == {2}
            assert scorer.describe()["revision"] == "r2"

        run(remote_nll(pod.url), scenario)


def test_a_request_that_began_with_a_generation_that_is_gone_fails_rather_than_mixes():
    with odd_pod(nll=(nll := Revision(1))) as pod:

        async def scenario(scorer):
            with one_answer():
                assert revisions(await scorer.score(groups(3))) == {1}
                nll.number = 2
                with pytest.raises(ScorerUnavailable, match="send it again"):
                    await scorer.score(groups(3, start=10))
                assert scorer.describe()["revision"] == "r1"
            with one_answer():
                assert revisions(await scorer.score(groups(3, start=10))) == {2}
                assert scorer.describe()["revision"] == "r2"

        run(remote_nll(pod.url), scenario)


class Asking:
    """Callers that post one request after another. seen: revisions of an answer's numbers, and who is named for it."""

    def __init__(self):
        self.seen: list[tuple[set[int], str]] = []
        self.wrong: list[object] = []
        self.stop = threading.Event()
        self._numbers = itertools.count()

    def ask(self, front):
        with front.client() as client:
            while not self.stop.is_set():
                asked = groups(40, start=40 * next(self._numbers))
                body = [group.model_dump(exclude_none=True) | {"reference": "r"} for group in asked]
                answer = client.post("/v1/reward", json={"groups": body})
                if answer.status_code != 200:
                    self.wrong.append(answer.text)
                    continue
                said = answer.json()
                candidates = [c for g in said["groups"] for c in g["candidates"]]
                made = {int(c["nll"]) // 1000 for c in candidates if c["status"] == "scored"}
                codes = {c["error"]["code"] for c in candidates if c["status"] == "failed"}
                if len(candidates) != 80 or not codes <= {"scorer_unavailable"}:
                    self.wrong.append(said)
                self.seen.append((made, said["served_by"]["scorers"]["nll"].get("revision", "")))


def test_a_rolling_update_under_load_never_mixes_and_loses_nothing_for_long():
    """Two pods of the first revision give way to two of the second, one after the other, at the same addresses."""
    ports = [free_port(), free_port()]
    asking = Asking()
    seen = asking.seen

    def served():
        return seen[-1][0] if seen else set()

    def wait(holds):
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, (seen[-3:], asking.wrong[:1])
            asking.stop.wait(0.02)

    with ExitStack() as stack:
        old = [ExitStack() for _ in ports]
        for port, pod in zip(ports, old, strict=True):
            pod.enter_context(odd_pod(nll=Revision(1, delay=0.005), port=port))
        front = stack.enter_context(
            serve_app(behind_gateway(remote_nll(*(f"http://127.0.0.1:{port}" for port in ports))))
        )
        askers = [threading.Thread(target=asking.ask, args=(front,)) for _ in range(3)]
        for asker in askers:
            asker.start()
        try:
            wait(lambda: served() == {1})
            for port, pod in zip(ports, old, strict=True):
                pod.close()
                stack.enter_context(odd_pod(nll=Revision(2, delay=0.005), port=port))
                count = len(seen)
                wait(lambda count=count: len(seen) > count + 3)
            wait(lambda: served() == {2})
        finally:
            asking.stop.set()
            for asker in askers:
                asker.join(60)
            for pod in old:
                pod.close()
    assert not asking.wrong
    for made, named in seen:
        assert made <= {int(named.removeprefix("r") or 0)}
    assert {named for made, named in seen if made} == {"r1", "r2"}


def test_the_most_replicas_decide_and_the_current_generation_stays_until_there_are_more_of_another():
    class Pod:
        def __init__(self, of, *, well=True):
            self.url, self.generation, self.well = "http://pod", of, well

    known = Generations("nll")
    one, two = (known.of(Said({"revision": name, "device": "cpu"}, "1")) for name in ("one", "two"))
    assert known.of(Said({"device": "cuda", "revision": "one"}, "1")) is one
    assert known.of(Said({"revision": "one"}, "2")) is not one
    known.settle([Pod(two), Pod(one), Pod(one)])
    assert known.current is one
    known.settle([Pod(two), Pod(one)])
    assert known.current is one
    known.settle([Pod(two), Pod(one, well=False)])
    assert known.current is one, "it may be back in a moment"
    known.settle([Pod(two), Pod(two), Pod(one)])
    assert known.current is two
    known.settle([Pod(one)])
    assert known.current is one, "none of the former is known any more"


def test_gateways_that_meet_as_many_of_each_agree():
    class Pod:
        url, well = "http://pod", True

        def __init__(self, of):
            self.generation = of

    chosen = set()
    for order in (("one", "two"), ("two", "one")):
        known = Generations("nll")
        pods = [Pod(known.of(Said({"revision": name}, "1"))) for name in order]
        known.settle(pods)
        chosen.add(known.current.key)
    assert len(chosen) == 1


def test_a_new_pod_gets_no_work_before_it_has_said_who_it_is():
    with odd_pod(nll=Revision(1)) as first:
        port = free_port()

        async def scenario(scorer):
            await scorer.score(groups(5))
            late = Revision(2)
            with odd_pod(nll=late, port=port) as pod:
                await until(lambda: scorer.replica_state().different)
                for start in range(100, 300, 50):
                    assert revisions(await scorer.score(groups(50, start=start))) == {1}
                assert not late.asked and not pod.count("/v1/nll")
            await asyncio.sleep(0)

        run(remote_nll(first.url, f"http://127.0.0.1:{port}"), scenario)
