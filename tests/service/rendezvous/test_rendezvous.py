"""Members one a call, over HTTP: whole groups, repeats, lost members, and the end."""

import asyncio
import random
import signal

import httpx
import pytest

from rewright.clients.http_client import RewardClient
from rewright.clients.rendezvous import Rendezvous
from rewright.service.errors import DeadlineExceeded, InvalidRequest
from rewright.service.schema.member import INCOMPLETE
from rewright.service.settings import RendezvousSettings, Settings
from tests.live_server import free_port, serve_app, serve_process
from tests.plain_scorers import plain_scorers

OF_PROBLEM = {"problem": "p", "reference": "r", "answer": "42"}
PATH = "/v1/rendezvous/reward"
TEXTS = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]
SETTINGS = Settings(rendezvous=RendezvousSettings(deadline_s=30))


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers(), SETTINGS) as live:
        yield live


def members(group, texts=TEXTS, **more):
    return [
        {"group": group, "size": len(texts), "member": str(k), "candidate": text, **OF_PROBLEM, **more}
        for k, text in enumerate(texts)
    ]


def post_all(url, bodies):
    """All at once; responses in the order of the bodies."""

    async def run():
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            return await asyncio.gather(*(http.post(PATH, json=body) for body in bodies))

    return asyncio.run(run())


def gauge(server, name):
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(name + " ")))


def batched(server, texts=TEXTS):
    with RewardClient(server.url, deadline_s=30) as client:
        return client.reward([{**OF_PROBLEM, "candidates": texts}]).groups[0]


def test_members_of_a_whole_group_are_told_what_the_batched_endpoint_tells(server):
    bodies = members("whole")
    random.Random(0).shuffle(bodies)
    group = batched(server)
    for body, response in zip(bodies, post_all(server.url, bodies), strict=True):
        answer = response.json()
        assert response.status_code == 200 and answer["member"] == body["member"]
        assert answer["candidate"] == group.candidates[int(body["member"])].model_dump(mode="json")
        assert (answer["feasible"], answer["diversity"]) == (group.feasible, group.diversity)
        assert answer["served_by"]["rule"]["variant"] == "full"
    assert gauge(server, "rewright_rendezvous_groups") == gauge(server, "rewright_rendezvous_members") == 0


def test_repeats_are_one_member_and_are_answered_from_memory(server):
    bodies = members("repeats")
    first = [r.json() for r in post_all(server.url, [*bodies, *bodies])]
    assert first[:4] == first[4:]
    again = httpx.post(server.url + PATH, json=bodies[1]).json()
    assert again == first[1]


def test_a_group_that_does_not_become_whole_has_a_stated_answer_and_no_number(server):
    bodies = members("lost", deadline_s=0.3)
    answers = [r.json() for r in post_all(server.url, bodies[:3])]
    late = httpx.post(server.url + PATH, json=bodies[3]).json()
    for answer in [*answers, late]:
        assert answer["candidate"]["total"] is None and answer["failed"] == 4
        assert answer["candidate"]["error"]["code"] == INCOMPLETE
    assert "3 of 4 members" in late["candidate"]["error"]["message"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"candidate": "another"}, "came before with another candidate"),
        ({"problem": "another"}, "a key of its own"),
        ({"size": 5}, "a key of its own"),
        ({"member": "9"}, "the group is whole"),
    ],
)
def test_a_key_that_is_used_anew_is_refused(server, wrong, says):
    bodies = members("anew" + says[:3] + next(iter(wrong)))
    assert {r.status_code for r in post_all(server.url, bodies)} == {200}
    refused = httpx.post(server.url + PATH, json={**bodies[0], **wrong})
    assert refused.status_code == 422 and says in refused.json()["error"]["message"]


@pytest.mark.parametrize("wrong", [{"size": 0}, {"group": ""}, {"candidate": 1}, {"x": 1}, {"problem": None}])
def test_what_is_no_member_is_refused_by_name(server, wrong):
    refused = httpx.post(server.url + PATH, json={**members("wrong")[0], **wrong})
    assert refused.status_code == 422 and next(iter(wrong)) in refused.json()["error"]["message"]


def test_a_caller_with_less_time_than_the_group_asks_again_and_finds_its_member(server):
    bodies = members("patient", ["nll=0.5 e=0", "nll=0.7 e=0.5"])
    waited = httpx.post(server.url + PATH, json=bodies[0], headers={"X-Deadline-Ms": "200"})
    assert waited.status_code == 504 and waited.json()["error"]["retryable"]
    assert gauge(server, "rewright_rendezvous_members") == 1
    totals = [r.json()["candidate"]["total"] for r in post_all(server.url, [bodies[1], bodies[0]])]
    assert None not in totals and gauge(server, "rewright_rendezvous_members") == 0


def test_chat_messages_may_stand_for_a_candidate(server):
    messages = [
        {"role": "user", "content": "rewrite"},
        {"role": "assistant", "content": [{"type": "text", "text": "ans=0"}]},
    ]
    answer = httpx.post(server.url + PATH, json=members("chat", [messages])[0]).json()
    assert answer["candidate"]["gate"] == "wrong"


def test_too_many_members_are_refused_and_memory_is_given_back():
    with serve_app(plain_scorers(), Settings(rendezvous=RendezvousSettings(members=2, remember_s=0))) as small:
        bodies = members("many", deadline_s=0.4)
        codes = sorted(r.status_code for r in post_all(small.url, bodies))
        assert codes == [200, 200, 429, 429]
        names = ("groups", "members", "remembered")
        assert [gauge(small, f"rewright_rendezvous_{name}") for name in names] == [0, 0, 0]


def test_failures_that_may_pass_are_scored_again_until_they_do():
    scorers = plain_scorers()
    judge = next(scorer for scorer in scorers if scorer.name == "judge")
    failing, asked = judge.score, []

    async def at_first(groups, **options):
        asked.append(len(groups[0].candidates))
        if len(asked) < 3:
            groups = [
                g.model_copy(update={"candidates": ["fail=judge_unavailable@judge"] * len(g.candidates)})
                for g in groups
            ]
        return await failing(groups, **options)

    judge.score = at_first
    with serve_app(scorers, SETTINGS) as live:
        totals = [r.json()["candidate"]["total"] for r in post_all(live.url, members("passes"))]
    assert None not in totals and len(asked) == 3


def test_a_key_that_comes_again_fills_one_group_after_another(server):
    texts = [*TEXTS, *TEXTS[::-1]]
    bodies = [{**members("again", [text] * 4)[0], "member": f"u{k}", "again": True} for k, text in enumerate(texts)]
    responses = post_all(server.url, [*bodies[:4], *bodies[4:], *bodies])
    answers = [r.json() for r in responses]
    assert {r.status_code for r in responses} == {200} and answers[:8] == answers[8:]
    assert None not in [answer["candidate"]["total"] for answer in answers]
    assert httpx.post(server.url + PATH, json=bodies[3]).json() == answers[3]
    assert gauge(server, "rewright_rendezvous_members") == 0


def test_away_is_an_error_and_no_number():
    with pytest.raises(DeadlineExceeded, match="in time"):
        Rendezvous(f"http://127.0.0.1:{free_port()}", deadline_s=1.5).reward(**members("away")[0])
    with pytest.raises(InvalidRequest, match="size"):
        Rendezvous("http://127.0.0.1:1").reward(**{**members("away")[0], "size": 0})


def test_sigterm_turns_those_who_wait_away_and_ends():
    only = {"REWRIGHT_ONLY": "verify"}
    with serve_process(only) as live, httpx.Client(base_url=live.url, timeout=60) as http:
        # Without the other scorers the reward is off, which a whole group says.
        alone = http.post(PATH, json=members("off", ["x"])[0])
        assert alone.status_code == 503 and alone.json()["error"]["code"] == "scorer_off"

        async def waiting():
            async with httpx.AsyncClient(base_url=live.url, timeout=60) as late:
                call = asyncio.create_task(late.post(PATH, json=members("waits")[0]))
                while True:
                    text = (await late.get("/metrics")).text
                    if "rewright_rendezvous_members 1.0" in text:
                        break
                live.process.send_signal(signal.SIGTERM)
                return await call

        away = asyncio.run(waiting())
        assert away.status_code == 503 and away.json()["error"]["retryable"]
        assert live.process.wait(30) == 0
