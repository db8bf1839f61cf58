"""Options of a request on their way to the pods."""

import asyncio
import json

import httpx

from rewright.service.schema import DiversityGroup, Group
from rewright.service.schema.requests import MOST_SIMILAR
from rewright.service.scorers.diversity.scorer import EmbeddingDiversity
from rewright.service.scorers.remote.scorer import RemoteScorer
from tests.live_server import serve_app
from tests.plain_scorers import PlainDiversity
from tests.service.scorers.remote.test_remote import gateway, pod
from tests.trouble.odd_pod import Reply, odd_pod, run
from tests.waiting import PATIENCE_S

GROUPS = [
    {"id": "some", "candidates": ["Six sevens are 42.", " ", "7 * 6 = 42", "no", "Six sevens are 42."],
     "feasible": [True, True, True, False, True]},
    {"id": "none", "candidates": ["", "whales"], "feasible": [True, False]},
    {"id": "one", "candidates": ["7 * 6 = 42"]},
]  # fmt: skip


def test_similarities_of_a_pod_are_those_of_its_embedder():
    embedding = EmbeddingDiversity(
        model="embedded", precision="auto", device="cpu", batch_tokens=4096, queue_tokens=100_000
    )
    with pod(diversity=embedding) as live:
        urls = dict.fromkeys(("verify", "judge", "nll", "diversity"), live.url)
        with serve_app(gateway(urls)) as front, front.client() as client:
            asked = client.post("/v1/diversity", json={"groups": GROUPS, "similarities": True}).json()["groups"]
            plain = client.post("/v1/diversity", json={"groups": GROUPS}).json()["groups"]
            straight = httpx.post(f"{live.url}/v1/diversity", json={"groups": GROUPS, "similarities": True})
    some, none, one = (group["similarities"] for group in asked)
    assert some[1] is some[3] is None
    assert some[0] == some[4] == [1, None, some[2][0], None, 1] and 0 < some[2][0] < 1
    assert (none, one) == ([None, None], [[1]])
    assert asked == straight.json()["groups"]
    for with_them, without in zip(asked, plain, strict=True):
        assert without == {key: value for key, value in with_them.items() if key != "similarities"}


def test_similarities_of_the_largest_group_are_read_however_they_are_written():
    def written_out(path, reply):
        said = reply.json
        for group in said.get("groups", []):
            group["similarities"] = [[-0.12345678901234567] * MOST_SIMILAR] * MOST_SIMILAR
        return Reply(reply.status, reply.headers, [json.dumps(said, indent=1).encode()])

    group = Group(id="g", candidates=["e=0"] * MOST_SIMILAR, feasible=[True] + [False] * (MOST_SIMILAR - 1))
    with odd_pod(written_out, diversity=PlainDiversity()) as live:
        scorer = RemoteScorer("diversity", DiversityGroup, urls=[live.url], timeout_s=PATIENCE_S)
        (found,) = run(scorer, lambda opened: opened.score([group], similarities=True))
    assert found.similarities == [[-0.12345678901234567] * MOST_SIMILAR] * MOST_SIMILAR


def test_groups_with_another_option_go_in_a_post_of_their_own():
    group = Group(id="g", problem="p", candidates=["e=0"])

    async def both(scorer):
        return await asyncio.gather(scorer.score([group], similarities=True), scorer.score([group], similarities=False))

    with odd_pod(diversity=PlainDiversity()) as live:
        (more,), (plain,) = run(RemoteScorer("diversity", DiversityGroup, urls=[live.url], timeout_s=PATIENCE_S), both)
        assert live.count("/v1/diversity") == 2
    assert (more.similarities, plain.similarities) == ([[1.0]], None)


def test_a_group_of_which_a_pod_scores_nothing_has_no_similarities():
    failing = [{"id": "g", "candidates": ["fail=internal@diversity", "fail=blank@diversity"]}]
    with pod(diversity=PlainDiversity()) as live:
        urls = dict.fromkeys(("verify", "judge", "nll", "diversity"), live.url)
        with serve_app(gateway(urls)) as front, front.client() as client:
            (found,) = client.post("/v1/diversity", json={"groups": failing, "similarities": True}).json()["groups"]
    assert [item["status"] for item in found["candidates"]] == ["failed"] * 2
    assert found["similarities"] == [None, None]
