"""The page at a service: off unless asked for, without a key, and with one when it posts."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from rewright.service.http.app import create_app
from rewright.service.http.ui import EXAMPLES
from rewright.service.schema.requests import ScoreRequest
from rewright.service.scorers.base import Scorers
from rewright.service.settings import Settings

NODE = shutil.which("node")


def page(**settings: object) -> TestClient:
    return TestClient(create_app(Settings(**settings), Scorers()))


def test_it_is_off_unless_asked_for() -> None:
    assert page().get("/ui").status_code == 404
    assert page(ui=True).get("/ui").status_code == 200


def test_it_needs_no_key_and_may_talk_to_its_own_service_alone() -> None:
    answer = page(ui=True, api_keys="secret-key").get("/ui")
    assert answer.status_code == 200
    assert "secret-key" not in answer.text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', answer.text)
    assert "default-src 'none'" in policy and policy.endswith("connect-src 'self'")


@pytest.mark.parametrize("name", EXAMPLES)
def test_its_examples_are_requests(name: str) -> None:
    assert ScoreRequest.model_validate(EXAMPLES[name]).groups[0].candidates


@pytest.mark.skipif(
    NODE is None, reason="node, which runs the page's code, is not installed (Debian: apt install nodejs)"
)
def test_texts_and_tokens_stand_beside_their_rewards() -> None:
    code = Path(__file__).parents[3].joinpath("clients/view/page/ask.js").read_text(encoding="utf-8")
    request = {"groups": [{"problem": "P", "reference": "R", "candidates": ["a", "b"]}]}
    answer = {"groups": [{"id": "0", "candidates": [{"total": 1}, {"total": None}]}]}
    nlls = {"groups": [{"candidates": [{"tokens": [{"text": "a", "logprob": -1}]}, {"status": "failed"}]}]}
    found = {"groups": [{"candidates": [{"extracted": "7"}, {"extracted": None}]}]}
    similar = {"groups": [{"candidates": [{"r_div": 0.1}, {"r_div": 0.1}], "similarities": [[1, 0.5], [0.5, 1]]}]}
    details = {"nll": nlls, "verify": found, "judge": None, "diversity": similar}
    call = f"together({json.dumps(request)}, {json.dumps(answer)}, {json.dumps(details)})"
    script = f"{code.replace('export ', '')}\nconsole.log(JSON.stringify({call}));"
    done = subprocess.run([str(NODE), "-e", script], capture_output=True, text=True, check=True)
    (group,) = json.loads(done.stdout)
    assert (group["problem"], group["reference"]) == ("P", "R")
    assert group["similarities"] == [[1, 0.5], [0.5, 1]]
    first, second = group["candidates"]
    assert "r_div" not in first, "of all candidates, where the reward's is of those with an open gate"
    assert (first["text"], first["total"], first["tokens"]) == ("a", 1, [{"text": "a", "logprob": -1}])
    assert first["extracted"] == "7" and "score" not in first
    assert (second["text"], second["total"]) == ("b", None) and not {"tokens", "extracted"} & second.keys()
