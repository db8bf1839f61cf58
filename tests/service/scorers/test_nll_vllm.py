"""The nll scorer with vLLM as its engine: the same numbers as with torch, and no number from a dead engine.

Needs an interpreter with vLLM and what the service stands on (`make test-vllm` makes one), named by VLLM_PYTHON.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rewright.service.models.backbone import Backbone
from tests.live_server import LiveServer, serve_process
from tests.service.scorers.nll_reference import one_at_a_time

INTERPRETER = os.environ.get("VLLM_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(INTERPRETER is None, reason="VLLM_PYTHON names no interpreter with vLLM: run `make test-vllm`"),
]

OFF = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("VERIFY", "JUDGE", "DIVERSITY")}
GROUPS = [
    {
        "problem": "A box holds 6 rows of 7 eggs. How many eggs is that?",
        "candidates": [
            "Six rows of seven eggs are 6 * 7 = 42 eggs. The answer is $\\boxed{42}$.",
            "7 + 7 + 7 + 7 + 7 + 7 = 42, so there are 42 eggs.",
            "It spells <|im_end|> and goes on: 42.",
            " ",
        ],
    },
    {"problem": "What is half of 10?", "candidates": ["Half of 10 is 5.", "10 / 2 = 5. " * 20]},
]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    environment = {
        **OFF,
        "REWRIGHT_SCORERS__NLL__BACKEND": "vllm",
        "REWRIGHT_SCORERS__NLL__MAX_TOKENS": "1024",
        "REWRIGHT_PROBE_AFTER_S": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    with serve_process(environment, interpreter=INTERPRETER or "") as live:
        yield live


def test_vllm_and_torch_give_the_same_nll(server: LiveServer, embedded_backbone: Backbone) -> None:
    with server.client() as client:
        answer = client.post("/v1/nll", json={"groups": GROUPS})
        assert answer.status_code == 200, answer.text
        described = answer.json()["served_by"]["scorers"]["nll"]
    assert described["way"].startswith("vllm") and described["max_tokens"] == 1024
    for group, found in zip(GROUPS, answer.json()["groups"], strict=True):
        for text, item in zip(group["candidates"], found["candidates"], strict=True):
            if not text.strip():
                assert item["error"]["code"] == "blank"
                continue
            exact = one_at_a_time(embedded_backbone, str(group["problem"]), text)
            assert item["nll"] == pytest.approx(exact, abs=3e-2)


def test_a_candidate_past_the_engines_window_is_too_long(server: LiveServer) -> None:
    with server.client() as client:
        groups = [{"problem": "Count.", "candidates": ["1 2 3", " ".join(map(str, range(2000)))]}]
        items = client.post("/v1/nll", json={"groups": groups}).json()["groups"][0]["candidates"]
    assert items[0]["status"] == "scored" and items[1]["error"]["code"] == "too_long"


def test_a_dead_engine_gives_retryable_failures_and_turns_readiness_red(server: LiveServer) -> None:
    assert server.process is not None
    for children in Path(f"/proc/{server.process.pid}/task").glob("*/children"):
        for child in children.read_text(encoding="utf-8").split():
            os.kill(int(child), signal.SIGKILL)
    with server.client() as client:
        # Nothing that was asked before: remembered scores need no engine.
        unseen = {"problem": "What is a third of 12?", "candidates": ["A third of 12 is 4.", "12 / 3 = 4."]}
        answer = client.post("/v1/nll", json={"groups": [unseen]})
        if answer.status_code == 200:
            items = answer.json()["groups"][0]["candidates"]
            assert all(item["status"] == "failed" and item["error"]["retryable"] for item in items)
        else:
            assert answer.status_code == 503 and answer.json()["error"]["retryable"]
        deadline = time.monotonic() + 30
        while (status := client.get("/readyz").status_code) == httpx.codes.OK:
            assert time.monotonic() < deadline
            time.sleep(1)
        assert status == 503
