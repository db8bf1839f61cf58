"""The clients over real HTTP on loopback: results, cutting, retries, replicas, deadlines and errors."""

import asyncio
import email.utils
import socket
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from rewright.clients import AsyncRewardClient, RewardClient
from rewright.clients.transport import deadline
from rewright.service.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    NotFound,
    ScorerOff,
    ScorerUnavailable,
    TooLarge,
    Unauthorized,
)
from rewright.service.schema import Group, RewardFailed, RewardGroup, Rule
from rewright.service.settings import LimitSettings, Settings
from tests.clients.faulty_server import DROPPED, SILENT, Answered, serve_faulty
from tests.live_server import free_port, serve_app
from tests.plain_scorers import PlainJudge, PlainNll, plain_scorers
from tests.waiting import PATIENCE_S, until

GROUP = {"problem": "p", "reference": "r", "candidates": ["nll=0.5 e=0.1", "nll=0.7 e=0.4", "ans=0"]}


def groups_of(count: int, candidates: int = 2) -> list[Group]:
    """Groups whose NLLs tell which group they belong to."""
    return [
        Group(id=f"g{i}", problem="p", reference="r", candidates=[f"nll={i}.{k}" for k in range(candidates)])
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.fixture(scope="module")
def client(server):
    with RewardClient(server.url, deadline_s=20) as one:
        yield one


def test_every_endpoint_answers_typed_results(client):
    scores = client.reward([GROUP, {**GROUP, "id": "named"}], rule={"lambda_div": 2})
    assert [type(g) for g in scores.groups] == [RewardGroup, RewardGroup]
    assert [g.id for g in scores.groups] == ["0", "named"]
    assert [c.gate for c in scores.groups[0].candidates] == ["open", "open", "wrong"]
    assert scores.served_by.rule == Rule(lambda_div=2) and scores.served_by.scorers["nll"]["model"] == "plain-nll"
    assert [c.correct for c in client.verify([GROUP]).groups[0].candidates] == [True, True, False]
    assert client.judge([GROUP]).groups[0].candidates[0].valid
    assert client.nll([GROUP], tokens=True).groups[0].candidates[0].tokens[0].logprob == -0.5
    assert client.nll([GROUP]).groups[0].candidates[0].tokens is None
    assert client.diversity([{"candidates": ["e=0", "e=1"]}]).groups[0].diversity > 0
    assert client.diversity([{"candidates": ["e=0"]}]).groups[0].similarities is None
    (similar,) = client.diversity([{"candidates": ["e=0", "e=3.1416"]}], similarities=True).groups
    assert similar.similarities == [[1, -1], [-1, 1]]
    assert client.info()["scorers"]["judge"]["model"] == "plain-judge"


def test_similarities_of_too_many_are_refused_before_anything_is_sent(client):
    with pytest.raises(InvalidRequest, match=r"^similarities: groups\.0 has 300 candidates.*at most 256"):
        client.diversity([{"candidates": ["e=0"] * 300}], similarities=True)


def test_a_candidate_that_cannot_be_scored_has_no_number(client):
    item = client.reward([{**GROUP, "candidates": ["nll=1", "fail=bad_gold@verify"]}]).groups[0].candidates[1]
    assert isinstance(item, RewardFailed) and item.total is None and item.error.code == "bad_gold"


def test_works_inside_a_running_loop(client):
    async def notebook_cell():
        return client.reward([GROUP])

    assert asyncio.run(notebook_cell()).groups[0].feasible == 2


def test_closing_ends_calls_of_other_threads():
    with serve_faulty(plain_scorers(), SILENT) as server, ThreadPoolExecutor() as beside:
        client = RewardClient(server.url, deadline_s=60)
        waiting = beside.submit(client.reward, [GROUP])
        until(lambda: server.asked)
        client.close()
        with pytest.raises(CancelledError):
            waiting.result(timeout=PATIENCE_S)
        assert client.reward([GROUP]).groups[0].feasible == 2
        client.close()


def test_an_async_client_outlives_its_loops(server):
    client = AsyncRewardClient(server.url, deadline_s=20)
    for _ in range(3):
        assert asyncio.run(client.reward([GROUP])).groups[0].feasible == 2


def test_big_calls_are_cut_between_groups_and_put_together_in_order():
    with serve_faulty(plain_scorers(verify=None, nll=PlainNll(delay=0.02))) as server:
        with RewardClient(server.url, concurrency=3, batch_candidates=5, deadline_s=20) as client:
            given = groups_of(31)
            answered = client.nll(given).groups
        assert [g.id for g in answered] == [g.id for g in given]
        assert [[c.nll for c in g.candidates] for g in answered] == [
            [float(f"{i}.{k}") for k in (0, 1)] for i in range(31)
        ]
        assert all(len(ids) <= 2 for ids in server.ids) and len(server.ids) == 16
        assert 1 < server.most_under_way <= 3


def test_characters_cut_too_and_a_large_group_goes_alone():
    with serve_faulty(plain_scorers()) as server:
        with RewardClient(server.url, batch_characters=1000, deadline_s=20) as client:
            sizes = [400, 400, 400, 5000, 10]
            client.diversity([{"candidates": ["x" * size]} for size in sizes])
        assert sorted(server.ids) == [["0", "1"], ["2"], ["3"], ["4"]]


@pytest.mark.parametrize(
    "fault",
    [
        Answered(429, "overloaded"),
        Answered(503, "scorer_unavailable"),
        Answered(503),
        Answered(504, "deadline_exceeded"),
        DROPPED,
    ],
    ids=str,
)
def test_what_passes_is_tried_again(fault):
    with serve_faulty(plain_scorers(), fault, fault) as server:
        with RewardClient(server.url, deadline_s=20) as client:
            assert client.reward([GROUP]).groups[0].feasible == 2
        assert len(server.asked) == 3
        first, second, third = (when for when, _, _ in server.asked)
        assert second - first > 0.1 and third - second > 0.2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Answered(503, "scorer_off", retryable=False), ScorerOff),
        (Answered(422, "invalid_request", retryable=False), InvalidRequest),
        (Answered(413, "too_large", retryable=False), TooLarge),
        (Answered(401, "unauthorized", retryable=False), Unauthorized),
        (Answered(404), NotFound),
        (Answered(302), InternalError),
    ],
    ids=str,
)
def test_what_does_not_pass_is_raised_at_once(fault, error):
    with serve_faulty(plain_scorers(), fault) as server, RewardClient(server.url, deadline_s=20) as client:
        with pytest.raises(error) as raised:
            client.reward([GROUP])
        assert type(raised.value) is error
        assert len(server.asked) == 1
        assert client.reward([GROUP]).groups[0].feasible == 2


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured_by_all_requests(as_date):
    in_two_seconds = datetime.now(UTC) + timedelta(seconds=2)
    wait = email.utils.format_datetime(in_two_seconds, usegmt=True) if as_date else "1"
    with serve_faulty(plain_scorers(), Answered(429, "overloaded", retry_after=wait)) as server:
        with RewardClient(server.url, deadline_s=20, concurrency=1, batch_candidates=2) as client:
            client.reward(groups_of(3))
        (first, *others) = (when for when, _, _ in server.asked)
        assert len(others) == 3
        assert min(others) - first >= 0.95


def test_a_retry_after_past_the_deadline_ends_the_call_now():
    busy = Answered(429, "overloaded", retry_after="3600")
    with serve_faulty(plain_scorers(), busy) as server, RewardClient(server.url, deadline_s=20) as client:
        with pytest.raises(DeadlineExceeded, match="as the test says") as raised:
            client.reward([GROUP])
        assert raised.value.detail == {"last": "overloaded"} and len(server.asked) == 1


def test_a_dead_replica_is_passed_over_and_the_load_is_spread():
    scorers = plain_scorers(nll=PlainNll(delay=0.05))
    with serve_faulty(scorers) as one, serve_faulty(scorers) as two:
        urls = [f"http://127.0.0.1:{free_port()}", one.url, two.url + "/"]
        with RewardClient(urls, batch_candidates=2, concurrency=4, deadline_s=20) as client:
            assert [g.id for g in client.nll(groups_of(12)).groups] == [f"g{i}" for i in range(12)]
        assert len(one.asked) + len(two.asked) == 12 and min(len(one.asked), len(two.asked)) >= 3


def test_a_service_that_comes_back_is_found_again():
    port = free_port()
    with RewardClient(f"http://127.0.0.1:{port}", deadline_s=20) as client:
        with serve_faulty(plain_scorers(), port=port):
            client.reward([GROUP])
        with ThreadPoolExecutor() as beside:
            waiting = beside.submit(client.reward, [GROUP])
            with socket.create_server(("127.0.0.1", port)) as away:
                for _ in range(2):
                    away.accept()[0].close()
            assert not waiting.done()
            with serve_faulty(plain_scorers(), port=port):
                assert waiting.result().groups[0].feasible == 2


def test_a_group_with_passing_failures_is_sent_again_whole():
    judge = PlainJudge(trouble=ScorerUnavailable("away"))
    with serve_faulty(plain_scorers(judge=judge)) as server:
        wrong = Group(id="wrong", problem="p", reference="r", candidates=["ans=0"])
        with RewardClient(server.url, deadline_s=20) as client, ThreadPoolExecutor() as beside:
            waiting = beside.submit(client.reward, [*groups_of(2), wrong])
            until(lambda: len(server.asked) >= 2)
            judge.trouble = None
            scores = waiting.result()
        assert [g.failed for g in scores.groups] == [0, 0, 0] and [g.id for g in scores.groups] == ["g0", "g1", "wrong"]
        assert server.ids[0] == ["g0", "g1", "wrong"] and set(map(tuple, server.ids[1:])) == {("g0", "g1")}


def test_a_failure_that_is_the_texts_own_is_tried_a_few_times_and_then_kept():
    with serve_faulty(plain_scorers()) as server:
        with RewardClient(server.url, deadline_s=60) as client:
            group = client.reward([{**GROUP, "candidates": ["nll=1", "fail=out_of_memory@nll"]}]).groups[0]
        assert [c.total is None for c in group.candidates] == [False, True]
        assert group.candidates[1].error.code == "out_of_memory" and len(server.asked) == 4


def test_the_service_is_told_what_time_is_left():
    with serve_faulty(plain_scorers(), Answered(503)) as server:
        with RewardClient(server.url, deadline_s=8, request_s=60) as client:
            client.reward([GROUP])
        first, second = (int(headers["x-deadline-ms"]) for _, headers, _ in server.asked)
        assert 7000 < first <= 8000 and second < first - 100


def test_nothing_answered_by_the_deadline_is_an_error_naming_the_last_trouble():
    with (
        RewardClient(f"http://127.0.0.1:{free_port()}", deadline_s=1) as client,
        pytest.raises(DeadlineExceeded, match="ConnectError"),
    ):
        client.reward([GROUP])


def test_groups_without_an_answer_come_back_failed_beside_those_that_were_answered():
    options = {"deadline_s": 1.5, "concurrency": 1, "batch_candidates": 2}
    with serve_faulty(plain_scorers(), None, *[SILENT] * 4) as server, RewardClient(server.url, **options) as client:
        scores = client.reward(groups_of(2))
        assert scores.groups[0].failed == 0 and scores.groups[1].failed == 2
        lost = scores.groups[1].candidates[0]
        assert (lost.status, lost.total, lost.signals) == ("failed", None, None)
        assert (lost.error.code, lost.error.retryable) == ("deadline_exceeded", True)


def test_a_request_that_took_too_long_is_cut_in_two():
    with serve_faulty(plain_scorers(), SILENT, Answered(504, "deadline_exceeded")) as server:
        with RewardClient(server.url, deadline_s=20, request_s=0.6) as client:
            assert [g.id for g in client.reward(groups_of(4)).groups] == ["g0", "g1", "g2", "g3"]
        assert server.ids[0] == ["g0", "g1", "g2", "g3"] and max(map(len, server.ids[2:])) <= 2


def test_patience_is_renewed_by_progress_and_ends_without_it(monkeypatch):
    class Clock:
        """Every request takes forty seconds of it."""

        now = 0.0

        def monotonic(self):
            return self.now

    class Slow(PlainNll):
        async def score(self, groups, *, tokens=False):
            clock.now += 40
            return await super().score(groups, tokens=tokens)

    clock = Clock()
    options = {"deadline_s": None, "concurrency": 1, "batch_candidates": 2}
    with serve_faulty(plain_scorers(nll=Slow())) as server:
        with monkeypatch.context() as patched, RewardClient(server.url, patience_s=60, **options) as client:
            patched.setattr(deadline, "time", clock)
            assert all(g.failed == 0 for g in client.reward(groups_of(6)).groups) and clock.now == 240
        server.faults.extend([SILENT] * 20)
        with RewardClient(server.url, patience_s=1, **options) as client, pytest.raises(DeadlineExceeded):
            client.reward([GROUP])


def test_keys_and_limits_of_the_service():
    settings = Settings(api_keys="sesame", limits=LimitSettings(candidates=2))
    with serve_app(plain_scorers(), settings) as server:
        with RewardClient(server.url, deadline_s=10) as client, pytest.raises(Unauthorized):
            client.info()
        with RewardClient(server.url, api_key="sesame", deadline_s=10) as client:
            assert client.info()["settings"]["api_keys"] == 1
            with pytest.raises(TooLarge) as raised:
                client.reward([GROUP])
            assert raised.value.detail == {"limit": "limits.candidates", "value": 2}


def test_mistakes_in_arguments_are_named(client):
    for wrong, message in (
        ([], "nothing to score"),
        ([{"candidates": []}], "groups.0.candidates"),
        ([GROUP, {**GROUP, "prompt": "x"}], "groups.1.prompt"),
        ([{**GROUP, "id": "1"}, GROUP], "groups.1.id"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            client.reward(wrong)
    with pytest.raises(InvalidRequest, match=r"rule\.variant"):
        client.reward([GROUP], rule={"variant": "ful"})
    for urls in ([], "localhost:8000", "ftp://x", "http://user:secret@host", "http://"):
        with pytest.raises(InvalidRequest, match="base_urls"):
            RewardClient(urls)
    with pytest.raises(InvalidRequest, match="deadline_s"):
        RewardClient("http://x", deadline_s=0)
    with pytest.raises(InvalidRequest, match="api_key"):
        RewardClient("http://x", api_key="a\nb")
