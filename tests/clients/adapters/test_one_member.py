"""One sample a call: whole groups are rewarded or neutral together; frameworks themselves are in tests/trainers."""

import asyncio
import math

import pytest

from rewright.clients.adapters.one_member import NEUTRAL, OneMember
from rewright.clients.adapters.samples import Sample
from rewright.service.errors import DeadlineExceeded
from tests.live_server import free_port, serve_app
from tests.plain_scorers import plain_scorers

GOOD = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]
SAMPLE = Sample("p", "r")


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


def rewards(members, texts, group, size=4):
    async def run():
        calls = (members.reward(SAMPLE, t, group=group, size=size, member=str(k)) for k, t in enumerate(texts))
        return await asyncio.gather(*calls)

    return asyncio.run(run())


def test_whole_groups_have_rewards_and_components(server):
    told = rewards(OneMember(server.url, deadline_s=20), GOOD, "good")
    assert told[2].total == 0.0 and len({one.total for one in told}) == 4
    assert told[0].logs["nll"] == 0.5 and math.isnan(told[2].logs["nll"])
    assert {tuple(one.logs) for one in told} == {tuple(told[0].logs)}
    assert [one.logs["neutral"] for one in told] == [0.0] * 4


def test_one_without_reward_makes_its_group_neutral(server):
    told = rewards(OneMember(server.url, deadline_s=20), ["fail=bad_gold@verify", *GOOD[1:]], "one failed")
    assert [one.total for one in told] == [NEUTRAL] * 4
    assert [one.logs["unscored"] for one in told] == [1.0, 0.0, 0.0, 0.0]
    assert [one.logs["neutral"] for one in told] == [1.0] * 4


def test_members_that_never_come_make_their_group_neutral(server):
    told = rewards(OneMember(server.url, deadline_s=2), GOOD[:3], "lost")
    assert [(one.total, one.logs["unscored"]) for one in told] == [(NEUTRAL, 1.0)] * 3


def test_away_raises():
    away = OneMember(f"http://127.0.0.1:{free_port()}", deadline_s=1.2, patience_s=1)
    with pytest.raises(DeadlineExceeded):
        rewards(away, GOOD[:1], "away")
