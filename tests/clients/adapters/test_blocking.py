"""The sync twin as TRL before 1.16 and ms-swift call it: what comes out, and what their sums make of it."""

import math
import pickle

import pytest

from rewright.clients.adapters.blocking import BlockingRewardFunction, ms_swift_reward
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from tests.live_server import free_port, serve_app
from tests.plain_scorers import NEVER, plain_scorers

GOOD = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]
BROKEN = ["fail=not_finite@nll", *GOOD[1:]]


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


def columns(size):
    return {"problem": ["p"] * size, "reference": ["r"] * size, "trainer_state": None}


def advantages(totals):
    """As TRL 0.24 and ms-swift 4.6 do: a sum in which NaN is 0, less the group's mean, over its deviation."""
    rewards = [0.0 if total is None else total for total in totals]
    mean = sum(rewards) / len(rewards)
    deviation = math.sqrt(sum((reward - mean) ** 2 for reward in rewards) / (len(rewards) - 1))
    return [(reward - mean) / (deviation + 1e-4) for reward in rewards]


def test_by_keyword_and_by_place(server):
    told = []
    rewards = BlockingRewardFunction(server.url, num_generations=4, on_metrics=told.append)
    by_keyword = rewards(prompts=["x"] * 4, completions=GOOD, completion_ids=[[1]] * 4, **columns(4))
    by_place = rewards(GOOD, prompt_id=["u"] * 4, **columns(4))
    assert by_keyword == by_place
    assert by_keyword[2] == 0.0 and len(set(by_keyword)) == 4
    assert told[0]["rewright/yield"] == 0.75 and told[0]["rewright/in_group_std/r_div"] > 0


def test_it_travels_into_a_spawned_process(server):
    again = pickle.loads(pickle.dumps(BlockingRewardFunction(server.url, num_generations=4)))  # noqa: S301
    assert None not in again(GOOD, prompt_id=["u"] * 4, **columns(4))


def test_one_failed_member_makes_its_whole_group_neutral_and_no_other(server):
    rewards = BlockingRewardFunction(server.url, num_generations=4, patience_s=5)
    totals = rewards(BROKEN + GOOD, prompt_id=["a"] * 4 + ["b"] * 4, **columns(8))
    assert totals[:4] == [None] * 4 and None not in totals[4:]
    assert advantages(totals[:4]) == [0.0] * 4 and any(advantages(totals[4:]))


def test_away_or_too_slow_raises():
    away = BlockingRewardFunction(f"http://127.0.0.1:{free_port()}", num_generations=4, patience_s=1)
    with pytest.raises((DeadlineExceeded, ScorerUnavailable)):
        away(GOOD, prompt_id=["a"] * 4, **columns(4))
    scorers = plain_scorers()
    next(s for s in scorers if s.name == "judge").delay = NEVER
    with serve_app(scorers) as slow:
        late = BlockingRewardFunction(slow.url, num_generations=4, patience_s=1.5)
        with pytest.raises((DeadlineExceeded, ScorerUnavailable)):
            late(GOOD, prompt_id=["a"] * 4, **columns(4))


def test_columns_by_other_names(server):
    names = {"problem": "question", "reference": "solution"}
    rewards = BlockingRewardFunction(server.url, num_generations=4, columns=names)
    totals = rewards(GOOD, prompts=["x"] * 4, question=["p"] * 4, solution=["r"] * 4)
    assert totals == BlockingRewardFunction(server.url, num_generations=4)(GOOD, prompts=["x"] * 4, **columns(4))
    with pytest.raises(InvalidRequest, match="'question'"):
        rewards(GOOD, prompts=["x"] * 4, **columns(4))
    with pytest.raises(InvalidRequest, match="'gold' is no field"):
        BlockingRewardFunction(server.url, num_generations=4, columns={"gold": "x"})


def test_what_is_missing_is_named(server):
    with pytest.raises(InvalidRequest, match="whole_groups"):
        BlockingRewardFunction(server.url, num_generations=4, whole_groups=False)
    with pytest.raises(InvalidRequest, match="prompt_id"):
        BlockingRewardFunction(server.url, num_generations=4)(GOOD, **columns(4))
    with pytest.raises(InvalidRequest, match="num_generations"):
        ms_swift_reward(server.url)()


def test_ms_swift_makes_it_of_its_arguments(server):
    class Arguments:
        num_generations = 4

    rewards = ms_swift_reward(server.url)(args=Arguments())
    assert None not in rewards(GOOD, prompt_id=["a"] * 4, **columns(4))
