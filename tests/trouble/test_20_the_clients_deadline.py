"""20, the clients' part: what was finished by the deadline is returned, and the settings that allow more are named."""

import logging
from collections import Counter

import pytest

from rewright.clients.http_client import RewardClient
from rewright.service.errors import DeadlineExceeded
from rewright.service.schema import Failed, NllGroup
from tests.clients.faulty_server import SILENT, serve_faulty
from tests.plain_scorers import PlainNll, plain_scorers

GROUPS = [{"id": f"g{k}", "problem": "p", "reference": "r", "candidates": [f"nll=1 k={k}"]} for k in range(24)]


class NllOnASlowMachine(PlainNll):
    """Of a request with more than `most` candidates nothing is done in time."""

    def __init__(self, *, most: int) -> None:
        super().__init__()
        self._most = most

    async def score(self, groups, *, tokens=False):
        if sum(len(group.candidates) for group in groups) <= self._most:
            return await super().score(groups, tokens=tokens)
        late = Failed.because("deadline", "not done in time", retryable=True)
        return [NllGroup(id=group.id or "", candidates=[late] * len(group.candidates)) for group in groups]


def test_a_request_of_which_nothing_was_done_in_time_is_cut():
    with serve_faulty(plain_scorers(nll=NllOnASlowMachine(most=3))) as server:
        with RewardClient(server.url, deadline_s=30) as client:
            scores = client.nll(GROUPS)
        assert [g.id for g in scores.groups] == [g["id"] for g in GROUPS]
        assert all(g.candidates[0].status == "scored" for g in scores.groups)
        assert Counter(map(len, server.ids)) == {24: 1, 12: 2, 6: 4, 3: 8}


def test_what_was_finished_is_returned_and_the_log_names_what_to_change(caplog):
    late = [{**g, "candidates": ["nll=1", "fail=deadline@nll"]} for g in GROUPS[:4]]
    with serve_faulty(plain_scorers()) as server, RewardClient(server.url, deadline_s=2.5) as client:
        with caplog.at_level(logging.WARNING):
            scores = client.reward([*late, *GROUPS[4:]])
        # Sent again, as all that may pass.
        assert len(server.asked) > 1 and set(server.ids[-1]) <= {g["id"] for g in late}
    assert [g.failed for g in scores.groups] == [1] * 4 + [0] * 20
    assert scores.groups[0].candidates[1].error.code == "deadline"
    (line,) = [r.getMessage() for r in caplog.records if r.name.startswith("rewright.clients")]
    assert "4 of 24 groups" in line
    assert all(name in line for name in ("`deadline`", "X-Deadline-Ms", "request_s", "deadline_s = 2.5 s"))


@pytest.mark.parametrize(
    ("options", "setting"),
    [({"deadline_s": 1.0}, "deadline_s = 1 s"), ({"deadline_s": None, "patience_s": 1.0}, "patience_s = 1 s")],
)
def test_an_error_names_what_ended_the_call_and_what_to_change(options, setting):
    silent = serve_faulty(plain_scorers(), *[SILENT] * 20)
    with silent as server, RewardClient(server.url, **options) as client, pytest.raises(DeadlineExceeded) as raised:
        client.reward(GROUPS[:1])
    message = raised.value.message
    assert all(name in message for name in (setting, "raise it", "fewer groups", "X-Deadline-Ms"))
