"""Adapters of frameworks that hand over whole groups, called as they call; their own code runs in tests/trainers."""

import asyncio
import copy
import math
import pickle
from types import SimpleNamespace

import pytest

from rewright.clients.adapters.one_group import OneGroup
from rewright.clients.adapters.one_member import NEUTRAL
from rewright.clients.adapters.samples import Sample
from rewright.clients.adapters.slime import group_reward
from rewright.clients.adapters.tinker import GroupRewards
from rewright.clients.adapters.verifiers import EpisodeRewards, NoReward
from rewright.clients.http_client import RewardClient
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from tests.live_server import free_port, serve_app
from tests.plain_scorers import NEVER, plain_scorers

GOOD = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]
ONE_FAILED = ["fail=bad_gold@verify", *GOOD[1:]]
ROW = {"problem": "p", "reference": "r"}
SAMPLE = Sample("p", "r")


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.fixture(scope="module")
def totals(server):
    with RewardClient(server.url, deadline_s=30) as client:
        return [item.total for item in client.reward([{**ROW, "candidates": GOOD}]).groups[0].candidates]


def test_a_group_is_rewarded_or_has_none_as_a_whole(server, totals):
    groups = pickle.loads(pickle.dumps(OneGroup(server.url)))  # noqa: S301
    good = asyncio.run(groups.reward(SAMPLE, [GOOD[0], [{"role": "assistant", "content": GOOD[1]}], *GOOD[2:]]))
    assert good.totals == totals and good.logs[0]["nll"] == 0.5 and math.isnan(good.logs[2]["nll"])
    failed = asyncio.run(groups.reward(SAMPLE, ONE_FAILED))
    assert failed.totals is None and [logs["unscored"] for logs in failed.logs] == [1.0, 0.0, 0.0, 0.0]
    with pytest.raises(InvalidRequest, match="at least one"):
        asyncio.run(groups.reward(SAMPLE, []))


def test_away_or_too_slow_raises():
    with pytest.raises(DeadlineExceeded):
        asyncio.run(OneGroup(f"http://127.0.0.1:{free_port()}", patience_s=1).reward(SAMPLE, GOOD))
    scorers = plain_scorers()
    next(s for s in scorers if s.name == "judge").delay = NEVER
    with serve_app(scorers) as slow, pytest.raises((DeadlineExceeded, ScorerUnavailable)):
        asyncio.run(OneGroup(slow.url, patience_s=1.5).reward(SAMPLE, GOOD))


def slime_samples(texts):
    """With the fields of slime 0.3.1's `Sample` that a reward may read."""
    return [SimpleNamespace(response=text, label=None, metadata=dict(ROW), reward=None) for text in texts]


@pytest.mark.parametrize(("key", "of"), [(None, lambda reward: reward), ("score", lambda reward: reward["score"])])
def test_slime_with_a_group_and_alone(server, totals, key, of):
    reward, args = group_reward(server.url), SimpleNamespace(reward_key=key)
    samples = slime_samples(GOOD)
    assert [of(one) for one in asyncio.run(reward(args, samples, evaluation=False))] == totals
    assert samples[0].metadata["rewright"]["nll"] == 0.5
    assert [of(one) for one in asyncio.run(reward(args, slime_samples(ONE_FAILED)))] == [NEUTRAL] * 4
    assert of(asyncio.run(reward(args, slime_samples(["ans=0"])[0]))) == 0.0


def test_slime_is_told_what_does_not_fit(server):
    reward, args = group_reward(server.url), SimpleNamespace(reward_key=None)
    samples = slime_samples(GOOD)
    with pytest.raises(InvalidRequest, match="several samples"):
        asyncio.run(reward(args, [samples]))
    samples[2].metadata["problem"] = "q"
    with pytest.raises(InvalidRequest, match="number 2 is of another problem"):
        asyncio.run(reward(args, samples))
    samples[0].metadata = {"problem": "p"}
    with pytest.raises(InvalidRequest, match=r"metadata\.reference: missing"):
        asyncio.run(reward(args, samples))


def trajectories(texts, own=0.0):
    return [
        SimpleNamespace(transitions=[SimpleNamespace(reward=own, ac=SimpleNamespace(tokens=text))]) for text in texts
    ]


def environments(number):
    renderer = SimpleNamespace(parse_response=lambda text: ({"role": "assistant", "content": text}, "stop"))
    return [SimpleNamespace(renderer=renderer)] * number


def test_tinker(server, totals):
    rewards = pickle.loads(pickle.dumps(GroupRewards(server.url, columns={"problem": "question"})))  # noqa: S301
    row = {"question": "p", "reference": "r"}
    told = asyncio.run(rewards(row, trajectories(GOOD), environments(4)))
    assert [total for total, _ in told] == totals
    assert told[0][1]["nll"] == 0.5 and "nll" not in told[2][1]
    failed = asyncio.run(rewards(row, trajectories(ONE_FAILED), environments(4)))
    assert [total for total, _ in failed] == [NEUTRAL] * 4
    with pytest.raises(InvalidRequest, match="differ"):
        asyncio.run(rewards(row, [*trajectories(GOOD[:1], own=1.0), *trajectories(GOOD[1:])], environments(4)))


class Trace:
    """The part of a trace of verifiers that is used."""

    def __init__(self, text):
        self.last_reply, self.rewards, self.metrics, self.ok = text, {}, {}, True

    def record_reward(self, name, value):
        self.rewards[name] = value

    def record_metrics(self, values):
        self.metrics |= values


def test_verifiers(server, totals):
    task = SimpleNamespace(data=SimpleNamespace(model_dump=lambda: dict(ROW)))
    good = SimpleNamespace(traces=[Trace(text) for text in GOOD])
    asyncio.run(EpisodeRewards(server.url)(task, good))
    assert [trace.rewards for trace in good.traces] == [{"rewright": total} for total in totals]
    assert good.traces[0].metrics["rewright/nll"] == 0.5
    failed = SimpleNamespace(traces=[Trace(text) for text in ONE_FAILED])
    with pytest.raises(NoReward):
        asyncio.run(EpisodeRewards(server.url)(task, failed))
    assert not any(trace.rewards or trace.ok for trace in failed.traces) and all(trace.ok for trace in good.traces)
    own = copy.deepcopy(good)
    own.traces[0].rewards["exact"] = 1.0
    with pytest.raises(InvalidRequest, match="'exact'"):
        asyncio.run(EpisodeRewards(server.url)(task, own))
