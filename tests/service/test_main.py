"""Starting and stopping the process: what a user's mistake looks like, and a clean end."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live_server import serve_process

ROOT = Path(__file__).resolve().parents[2]


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"REWRIGHT_PORT": "eighty"}, "port"),
        ({"REWRIGHT_SCORERS__NLL__MODEL": "/no/such/folder"}, "scorers.nll.model"),
        ({"REWRIGHT_SCORERS__JUDGE__PROMPT": "no-such-prompt"}, "scorers.judge.prompt"),
        ({"REWRIGHT_SCORERS__DIVERSITY__MODEL": "/no/such/folder"}, "scorers.diversity.model"),
    ],
)
def test_a_start_that_cannot_succeed_says_why_without_a_traceback(environment, named):
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("VERIFY", "JUDGE", "NLL", "DIVERSITY")}
    wanted = {k: v for k, v in off.items() if not any(e.startswith(k.removesuffix("WHERE")) for e in environment)}
    ended = start(**wanted, **environment)
    assert ended.returncode == 2
    assert named in ended.stderr and "Traceback" not in ended.stderr


def test_sigterm_ends_the_process_cleanly():
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
    with serve_process(off) as server:
        with server.client() as client:
            body = {"groups": [{"answer": "42", "candidates": ["\\boxed{42}"]}]}
            assert client.post("/v1/verify", json=body).json()["groups"][0]["candidates"][0]["correct"] is True
            assert client.post("/v1/nll", json={"groups": [{"problem": "p", "candidates": ["a"]}]}).status_code == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("sent", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL])
def test_no_worker_outlives_the_service(sent):
    """Not even one that is at work on something endless."""
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
    with serve_process(off) as server, server.client() as client:
        busy = {
            "groups": [{"answer": "\\sqrt{7} + 1", "candidates": [f"9^{{9^{{9^{{9^9}}}}}} + {n}" for n in range(4)]}]
        }

        def ask() -> None:
            with suppress(httpx.HTTPError):
                client.post("/v1/verify", json=busy)

        asking = threading.Thread(target=ask)
        asking.start()
        end = time.monotonic() + 60
        while len(family := descendants(server.process.pid)) < 4 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(family) >= 4  # resource tracker, forkserver, and workers
        server.process.send_signal(sent)
        server.process.wait(60)
        asking.join(60)
        end = time.monotonic() + 10
        while (left := [pid for pid in family if lives(pid)]) and time.monotonic() < end:
            time.sleep(0.1)
        assert left == []


def lives(pid: int) -> bool:
    """There and no zombie, which nobody but its new parent can remove."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Process ids below `pid`, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, fresh = [], [pid]
    while fresh:
        fresh = [child for child, parent in parents.items() if parent in fresh]
        found += fresh
    return found


def test_sigterm_while_models_load_ends_the_process_and_its_children_at_once(tmp_path):
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "DIVERSITY")}
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "rewright.service"], env=os.environ | off, cwd=ROOT, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 120
        while "opening nll" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children  # the verifier's
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        _, left = psutil.wait_procs(children, timeout=10)
        assert left == []
    finally:
        process.kill()
        process.wait()
