"""Kind 9: what an ingress says while a pod restarts ends no run, and no Retry-After disables a client."""

import time

import pytest

from rewright.clients.http_client import RewardClient
from rewright.clients.transport.replicas import Replicas
from rewright.service.errors import InternalError, InvalidRequest
from tests.clients.faulty_server import Answered, serve_faulty
from tests.plain_scorers import plain_scorers

GROUP = {"problem": "p", "reference": "r", "candidates": ["nll=0.5 e=0.1", "ans=0"]}
A_DAY = "86400"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529])
def test_a_proxys_error_passes(status):
    with serve_faulty(plain_scorers(), *[Answered(status)] * 2) as server:
        with RewardClient(server.url, deadline_s=20, longest_pause_s=0.05) as client:
            assert client.reward([GROUP]).groups[0].feasible == 1
        assert len(server.asked) == 3


@pytest.mark.parametrize("status", [409, 429, 500, 502, 503])
def test_an_error_of_ours_passes_where_it_says_so(status):
    faults = [Answered(status, "some_code_of_later", retryable=True)] * 5
    with serve_faulty(plain_scorers(), *faults) as server:
        with RewardClient(server.url, deadline_s=20, longest_pause_s=0.05) as client:
            assert client.reward([GROUP]).groups[0].feasible == 1
        assert len(server.asked) == 6


@pytest.mark.parametrize(
    "fault",
    [
        Answered(500, "internal", retryable=False),
        Answered(200),
        Answered(200, content=b"[" * 100_000),
        Answered(200, content=b'{"groups": []}'),
    ],
    ids=["a final 500", "a page", "deep", "other groups"],
)
def test_a_final_500_and_an_unreadable_answer_have_a_few_tries(fault):
    with serve_faulty(plain_scorers(), *[fault] * 2) as server:
        with RewardClient(server.url, deadline_s=20, longest_pause_s=0.05) as client:
            assert client.reward([GROUP]).groups[0].feasible == 1
            server.faults.extend([fault] * 100)
            with pytest.raises(InternalError, match=server.url):
                client.reward([GROUP])
        assert len(server.asked) == 3 + 3


def test_a_day_of_retry_after_is_capped_by_the_clients_own_setting():
    with serve_faulty(plain_scorers(), *[Answered(503, retry_after=A_DAY)] * 3) as server:
        with RewardClient(server.url, deadline_s=20, longest_pause_s=0.1) as client:
            assert client.reward([GROUP]).groups[0].feasible == 1
        assert len(server.asked) == 4


def test_the_other_address_stays_in_use_while_one_rests():
    busy = Answered(429, "overloaded", retry_after=A_DAY)
    with serve_faulty(plain_scorers(), busy) as resting, serve_faulty(plain_scorers()) as well:
        with RewardClient([resting.url, well.url], deadline_s=20) as client:
            for _ in range(6):
                assert client.reward([GROUP]).groups[0].feasible == 1
        assert len(resting.asked) == 1 and len(well.asked) == 6


def test_no_rest_is_longer_than_the_setting():
    replicas = Replicas("http://127.0.0.1:1", longest_pause_s=5)
    replica = replicas.next()
    assert replica is not None
    for _ in range(50):
        replica.troubled(began=time.monotonic(), asked_s=float(A_DAY))
        assert replicas.rest_left() <= 5
    for wrong in (0, -1, float("nan"), float("inf"), "60", True):
        with pytest.raises(InvalidRequest, match="longest_pause_s"):
            RewardClient("http://127.0.0.1:1", longest_pause_s=wrong)
