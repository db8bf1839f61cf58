"""Kind 4, the clients' part: no answer brings a number that is not finite, and none is written as a reward."""

import json

import httpx
import pytest

from rewright.clients.cli.main import main
from rewright.clients.http_client import RewardClient
from rewright.service.errors import InternalError
from tests.clients.faulty_server import Answered, serve_faulty
from tests.plain_scorers import plain_scorers

GROUP = {"id": "g", "problem": "p", "reference": "r", "candidates": ["nll=0.5 e=0.1", "nll=0.75 e=0.4"]}


def answers_with(server, endpoint: str, field: str, number: str) -> Answered:
    """What the app says, but for one number."""
    answer = httpx.post(f"{server.url}/v1/{endpoint}", json={"groups": [GROUP]}, timeout=20).json()
    answer["groups"][0]["candidates"][1][field] = "HERE"
    return Answered(200, content=json.dumps(answer).replace('"HERE"', number).encode())


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("endpoint", "field"), [("reward", "total"), ("reward", "nll"), ("nll", "nll"), ("diversity", "r_div")]
)
def test_a_number_that_is_not_finite_never_reaches_the_caller(endpoint, field, number):
    with serve_faulty(plain_scorers()) as server, RewardClient(server.url, deadline_s=20) as client:
        server.faults.extend([answers_with(server, endpoint, field, number)] * 3)
        with pytest.raises(InternalError, match=rf"groups\.0\.candidates\.1\.{field}"):
            getattr(client, endpoint)([GROUP])
        # Where another answer is well, that one counts.
        server.faults.append(answers_with(server, endpoint, field, number))
        assert getattr(client, endpoint)([GROUP]).groups[0].candidates[1].status == "scored"


def test_further_scorers_numbers_are_checked_as_well():
    content = (
        b'{"groups": [{"id": "g", "candidates": [{"status": "scored", "parts": {"a": [1, NaN]}}]}], "served_by": {}}'
    )
    with serve_faulty(plain_scorers()) as server, RewardClient(server.url, deadline_s=20) as client:
        server.faults.extend([Answered(200, content=content)] * 3)
        with pytest.raises(InternalError, match=r"groups\.0\.candidates\.0\.parts\.a\.1"):
            client.score("variety", [{"id": "g", "candidates": ["x"]}])


def test_score_writes_no_line_of_it_and_no_traceback(tmp_path, capfd):
    groups, out = tmp_path / "groups.jsonl", tmp_path / "rewards.jsonl"
    groups.write_text(json.dumps(GROUP) + "\n")
    with serve_faulty(plain_scorers()) as server:
        command = ["score", str(groups), "--url", server.url, "--out", str(out)]
        server.faults.extend([answers_with(server, "reward", "total", "NaN")] * 3)
        assert main(command) == 1
        shown = capfd.readouterr()
        assert "total" in shown.err and "Traceback" not in shown.err and out.read_text() == ""
        assert main(command) == 0 and main(command) == 0
    assert out.read_text().count("\n") == 1
