"""How many posts the groups of one request cost."""

from contextlib import ExitStack

from tests.live_server import serve_app
from tests.plain_scorers import PlainDiversity, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.service.scorers.remote.test_remote import gateway
from tests.trouble.odd_pod import odd_pod

NAMES = ("verify", "judge", "nll", "diversity")
KINDS = {"verify": PlainVerifier, "judge": PlainJudge, "nll": PlainNll, "diversity": PlainDiversity}


def test_groups_of_one_request_go_through_every_scorer_in_few_posts():
    """Thirty-two groups of four fill two posts of 64 candidates, whatever a scorer is asked after another one."""
    groups = [
        {"id": f"g{n}", "problem": f"p{n}", "reference": "r", "candidates": [f"nll={n}.{k} e={k}" for k in range(4)]}
        for n in range(32)
    ]
    with ExitStack() as stack:
        pods = {name: stack.enter_context(odd_pod(**{name: KINDS[name]()})) for name in NAMES}
        front = stack.enter_context(serve_app(gateway({name: pod.url for name, pod in pods.items()})))
        client = stack.enter_context(front.client())
        here = client.post("/v1/reward", json={"groups": groups}).json()["groups"]
        posts = {name: pod.count(f"/v1/{name}") for name, pod in pods.items()}
        with serve_app(plain_scorers()) as local, local.client() as alone:
            assert here == alone.post("/v1/reward", json={"groups": groups}).json()["groups"]
    # One more than that each, for the very first work finds nobody who has said who he is.
    assert max(posts.values()) <= 4, posts
