"""The TRL adapter inside TRL's own trainer, with a random model and a service over HTTP; and called by hand."""

import asyncio
import importlib.util
import json
import math
import multiprocessing
import os
import pickle
from collections import Counter
from itertools import pairwise

import pytest

from rewright.clients.adapters.groups import PartialGroup
from rewright.clients.adapters.trl import PREFIX, RewardFunction, text_of
from rewright.clients.http_client import RewardClient
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from rewright.service.schema import Rule
from tests.clients.faulty_server import serve_faulty
from tests.clients.scorers_by_text import VerifierByText, fate, scorers_by_text
from tests.live_server import free_port, serve_app
from tests.plain_scorers import PlainJudge, plain_scorers
from tests.waiting import PATIENCE_S
from tests.warm_process import WarmProcess

needs_trl = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
LOGGED = {
    "total", "yield", "v_ans", "v_rea", "nll", "r_dist", "r_div", "diversity", "failed", "failed_groups",
    "in_group_std/total", "in_group_std/r_dist", "in_group_std/r_div", "signals/n_tokens", "signals/length_ratio",
    "signals/repeated", "signals/copied", "seconds_waited", "without_reward",
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


def call(rewards, completions, **columns):
    """As TRL calls it, on a loop of its own."""
    size = len(completions)
    given = {"prompts": ["x"] * size, "problem": ["p"] * size, "reference": ["r"] * size, **columns}
    return asyncio.run(rewards(completions=completions, completion_ids=[[1]] * size, trainer_state=None, **given))


def check_rows(seen, num_generations):
    """Every row of TRL's log has the reward of its own text within its own group."""
    rewards, advantages = seen["rewards"], seen["advantages"]
    fates = [fate(text) if text.strip() else "wrong" for text in seen["completions"]]
    for reward, advantage, expected in zip(rewards, advantages, fates, strict=True):
        assert math.isnan(reward) == (expected == "failed")
        assert (reward == 0.0) == (expected == "wrong")
        assert not math.isnan(reward) or advantage == 0.0
    for start in range(0, len(rewards), num_generations):
        assert len(set(seen["problems"][start : start + num_generations])) == 1
    assert seen["extra"]["outcome"] == [
        {"failed": "not_finite", "wrong": "wrong", "correct": "open"}[f] if text.strip() else "blank"
        for f, text in zip(fates, seen["completions"], strict=True)
    ]


@needs_trl
@pytest.mark.parametrize("conversational", [True, False])
def test_two_steps_of_trls_trainer(tmp_path, conversational):
    from tests.clients.adapters.tiny_grpo import PROBLEMS, seen, trainer

    verifier = VerifierByText()
    with serve_app(scorers_by_text(verifier)) as server:
        rewards = RewardFunction(server.url, num_generations=4, patience_s=30)
        trained = trainer(rewards, tmp_path, conversational=conversational)
        trained.train()
        last = seen(trained)
        assert trained.state.global_step == 2 and len(last["rewards"]) == 8
        check_rows(last, 4)
        assert {len(g.candidates) for g in verifier.groups} <= {1, 2, 3, 4}
        assert {(g.problem, g.reference, g.answer) for g in verifier.groups} <= {
            (problem, f"It is {n}.", str(n)) for n, problem in enumerate(PROBLEMS)
        }
        # The same groups asked for by hand give the same totals.
        with RewardClient(server.url, deadline_s=20) as client:
            for start in (0, 4):
                texts = last["completions"][start : start + 4]
                group = client.reward([{"problem": "p", "reference": "r", "candidates": texts}]).groups[0]
                for item, reward in zip(group.candidates, last["rewards"][start:], strict=False):
                    assert math.isnan(reward) if item.total is None else reward == pytest.approx(item.total, abs=1e-6)
    steps = [row for row in last["history"] if "rewards/rewright/mean" in row]
    assert len(steps) == 2
    sometimes = {PREFIX + name for name in LOGGED if name.startswith("in_group") or name == "diversity"}
    assert {PREFIX + name for name in LOGGED} - sometimes <= set(steps[-1]) | set(steps[0])
    # The rate of right answers stands apart from the yield, and failures are in neither.
    scored = [r for r in last["rewards"] if not math.isnan(r)]
    assert steps[-1]["rewright/yield"] == pytest.approx(sum(r > 0 for r in scored) / len(scored))
    assert steps[-1]["rewright/failed"] == pytest.approx(1 - len(scored) / 8)


@needs_trl
def test_a_partial_group_ends_training_and_names_the_setting(tmp_path, server):
    from tests.clients.adapters.tiny_grpo import trainer

    wrong = trainer(RewardFunction(server.url, num_generations=3), tmp_path)
    with pytest.raises(PartialGroup, match="per_device_train_batch_size \\* steps_per_generation % num_generations"):
        wrong.train()


@needs_trl
def test_two_ranks_score_their_own_slices(tmp_path):
    verifier = VerifierByText()
    with serve_app(scorers_by_text(verifier)) as server:
        # What torchrun would set.
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        ranks = [
            WarmProcess(
                "tests.clients.adapters.tiny_grpo",
                server.url,
                tmp_path,
                environment={**os.environ, **world, "RANK": rank, "LOCAL_RANK": rank, "CUDA_VISIBLE_DEVICES": ""},
                output=tmp_path / f"said-{rank}",
            )
            for rank in "01"
        ]
        ended = [rank.wait(PATIENCE_S) for rank in ranks]
    assert ended == [0, 0], (tmp_path / "said-0").read_text()[-4000:]
    for rank in (0, 1):
        report = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert report["world"] == 2 and len(report["rewards"]) == 8
        check_rows(report, 4)
        assert "per_device_train_batch_size * steps_per_generation % num_generations == 0" in report["refused"]


def test_totals_in_order_and_none_for_what_could_not_be_scored(server):
    rewards = RewardFunction(server.url, num_generations=2, rule=Rule(variant="task_only"))
    texts = ["ans=1", "ans=0", "fail=bad_gold@verify", "ans=1"]
    assert call(rewards, texts, problem=["p", "p", "q", "q"]) == [1.0, 0.0, None, 1.0]
    chats = [[{"role": "assistant", "content": text}] for text in texts]
    assert call(rewards, chats, problem=["p", "p", "q", "q"]) == [1.0, 0.0, None, 1.0]
    whole = RewardFunction(server.url, num_generations=2, rule={"variant": "task_only"}, whole_groups=True)
    assert call(whole, texts, problem=["p", "p", "q", "q"]) == [1.0, 0.0, None, None]


def test_components_are_logged_one_value_a_completion(server):
    numbers, columns = {}, {}
    texts = ["nll=0.4 e=0", "nll=0.6 e=0.3", "nll=0.9 e=1", "ans=0", "rea=0", "fail=bad_gold@verify"]
    rewards = RewardFunction(server.url, num_generations=6)
    totals = call(rewards, texts, log_metric=numbers.__setitem__, log_extra=columns.__setitem__)
    assert set(numbers) == {PREFIX + name for name in LOGGED}
    assert numbers["rewright/yield"] == pytest.approx(3 / 5) and numbers["rewright/v_ans"] == pytest.approx(4 / 5)
    assert numbers["rewright/v_rea"] == pytest.approx(3 / 4) and numbers["rewright/failed"] == pytest.approx(1 / 6)
    assert numbers["rewright/in_group_std/r_dist"] > numbers["rewright/in_group_std/r_div"] > 0
    assert columns["outcome"] == ["open", "open", "open", "wrong", "invalid", "bad_gold"]
    assert columns["nll"] == [0.4, 0.6, 0.9, None, None, None] and {len(v) for v in columns.values()} == {6}
    assert [total is None for total in totals] == [False] * 5 + [True]


def test_the_same_problem_twice_in_a_batch_makes_two_groups(server):
    rewards = RewardFunction(server.url, num_generations=2)
    texts = ["nll=1", "nll=2", "nll=7", "nll=8"]
    totals = call(rewards, texts)
    assert totals[:2] == totals[2:] == call(RewardFunction(server.url, num_generations=2), texts[:2])


def test_without_answers_and_with_columns_missing(server):
    rewards = RewardFunction(server.url, num_generations=1)
    assert call(rewards, ["nll=1"], answer=[None], more=["ignored"]) == [1.5]
    with pytest.raises(InvalidRequest, match="no column 'reference'"):
        call(rewards, ["nll=1"], reference=None)
    with pytest.raises(InvalidRequest, match="column 'problem', row 0: holds NoneType"):
        call(rewards, ["nll=1"], problem=[None])


def test_trl_recognises_it_before_and_after_pickling(server):
    copy = pickle.loads(pickle.dumps(RewardFunction([server.url], num_generations=2, api_key="k")))  # noqa: S301
    assert copy.__name__ == "rewright" and asyncio.iscoroutinefunction(copy.__call__)
    assert call(copy, ["nll=1", "nll=1"]) == [1.5, 1.5]


def test_calls_at_the_same_time_share_connections():
    # As experimental.async_grpo calls it: group by group, many at once, on one loop.
    group = {"prompts": ["x"] * 2, "problem": ["p"] * 2, "reference": ["r"] * 2, "completions": ["nll=1", "ans=0"]}

    async def many():
        return await asyncio.gather(*(rewards(**group) for _ in range(40)))

    with serve_faulty(plain_scorers()) as counted:
        rewards = RewardFunction(counted.url, num_generations=2, concurrency=3)
        for _ in range(2):
            assert asyncio.run(many()) == [[1.5, 0.0]] * 40
        assert counted.most_under_way <= 3


def in_a_child(rewards, answers):
    answers.put(call(rewards, ["nll=1", "ans=0"]))


def test_works_in_a_spawned_child(server):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    child = context.Process(target=in_a_child, args=(RewardFunction(server.url, num_generations=2), answers))
    child.start()
    assert answers.get(timeout=PATIENCE_S) == [1.5, 0.0]
    child.join(PATIENCE_S)
    assert child.exitcode == 0


def test_a_service_away_for_longer_than_the_patience_ends_it(server):
    with pytest.raises(DeadlineExceeded, match="ConnectError"):
        call(RewardFunction(f"http://127.0.0.1:{free_port()}", num_generations=1, patience_s=1), ["nll=1"])
    judge = PlainJudge(trouble=ScorerUnavailable("gone"))
    with serve_faulty(plain_scorers(judge=judge)) as lacking:
        with pytest.raises(ScorerUnavailable, match="scorer_unavailable"):
            call(RewardFunction(lacking.url, num_generations=2, patience_s=1), ["nll=1", "ans=0"])
        # What never needed the judge has its reward.
        assert call(RewardFunction(lacking.url, num_generations=2, patience_s=1), ["ans=0", "ans=0"]) == [0.0, 0.0]


def test_one_text_that_its_judge_cannot_take_does_not_end_it():
    with serve_faulty(plain_scorers()) as lacking:
        rewards = RewardFunction(lacking.url, num_generations=2, patience_s=1)
        assert call(rewards, ["nll=1", "fail=judge_unavailable@judge"]) == [1.5, None]
        spread = [when for when, _, _ in lacking.asked]
        assert len(spread) > 1 and all(later > earlier for earlier, later in pairwise(spread))


def test_texts_of_completions():
    assert text_of("plain") == "plain"
    assert text_of([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]) == "a"
    assert text_of([{"role": "assistant", "content": None}]) == ""
    tool = [{"role": "assistant", "content": "x"}, {"role": "tool", "content": "y"}]
    assert text_of([*tool, {"role": "assistant", "content": "z"}]) == "z" and text_of(tool) == "x"
    assert text_of([]) == ""


def test_fates_are_mixed():
    assert set(Counter(fate(str(n)) for n in range(60))) == {"failed", "wrong", "correct"}
