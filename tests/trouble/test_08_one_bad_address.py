"""8, the clients' part: what one of several addresses refuses, another may answer."""

import logging

import pytest

from rewright.clients.http_client import RewardClient
from rewright.service.errors import InternalError, InvalidRequest, NotFound, ScorerOff, TooLarge, Unauthorized
from tests.clients.faulty_server import Answered, serve_faulty
from tests.live_server import free_port
from tests.plain_scorers import plain_scorers

GROUP = {"problem": "p", "reference": "r", "candidates": ["nll=0.5 e=0.1", "ans=0"]}
REFUSALS = {
    "key": (Answered(401, "unauthorized", retryable=False), Unauthorized),
    "proxy's login": (Answered(401), Unauthorized),
    "forbidden": (Answered(403), InternalError),
    "route": (Answered(404, "not_found", retryable=False), NotFound),
    "another service": (Answered(404), NotFound),
    "moved": (Answered(302), InternalError),
    "moved for good": (Answered(308), InternalError),
    "off": (Answered(503, "scorer_off", retryable=False), ScorerOff),
    "unknown": (Answered(418, "code_of_later", retryable=False), InternalError),
    "no method": (Answered(501), InternalError),
}
ALWAYS = 1000


@pytest.mark.parametrize("name", REFUSALS)
def test_what_one_address_refuses_another_answers(name, caplog):
    refusal, _ = REFUSALS[name]
    with serve_faulty(plain_scorers(), *[refusal] * ALWAYS) as bad, serve_faulty(plain_scorers()) as well:
        with RewardClient([bad.url, well.url], deadline_s=60) as client, caplog.at_level(logging.WARNING):
            for _ in range(12):
                assert client.reward([GROUP]).groups[0].feasible == 1
        assert len(well.asked) == 12 and len(bad.asked) < 12
    told = [record.getMessage() for record in caplog.records if bad.url in record.getMessage()]
    assert len(told) == 1 and "another address answers" in told[0]


@pytest.mark.parametrize("name", REFUSALS)
def test_what_all_addresses_refuse_is_final(name):
    refusal, kind = REFUSALS[name]
    with serve_faulty(plain_scorers(), *[refusal] * 9) as one, serve_faulty(plain_scorers(), *[refusal] * 9) as other:
        with RewardClient([one.url, other.url], deadline_s=None) as client, pytest.raises(kind):
            client.reward([GROUP])
        assert len(one.asked) == len(other.asked) == 1


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Answered(422, "invalid_request", retryable=False), InvalidRequest),
        (Answered(413, "too_large", retryable=False), TooLarge),
    ],
)
def test_what_is_about_the_request_is_final_at_the_first(refusal, kind):
    with serve_faulty(plain_scorers(), refusal) as one, serve_faulty(plain_scorers(), refusal) as other:
        with RewardClient([one.url, other.url], deadline_s=60) as client, pytest.raises(kind):
            client.reward([GROUP])
        assert len(one.asked) + len(other.asked) == 1


def test_an_address_that_was_well_is_waited_for_and_one_that_never_was_is_not():
    refusal = Answered(401, "unauthorized", retryable=False)
    with serve_faulty(plain_scorers(), *[refusal] * ALWAYS) as bad, serve_faulty(plain_scorers()) as well:
        with RewardClient([bad.url, well.url], deadline_s=60) as client:
            assert client.reward([GROUP]).groups[0].feasible == 1
            well.faults.extend([Answered(502)] * 2)
            assert client.reward([GROUP]).groups[0].feasible == 1
        for _ in range(6):  # whichever of the two is asked first
            gone = f"http://127.0.0.1:{free_port()}"
            with RewardClient([bad.url, gone], deadline_s=None) as client, pytest.raises(Unauthorized):
                client.reward([GROUP])
