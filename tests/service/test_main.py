"""Starting and stopping the process: what a user's mistake looks like, and a clean end."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.live_server import serve_process
from tests.waiting import PATIENCE_S, until
from tests.warm_process import WarmProcess

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"REWRIGHT_SCORERS__NLL__MODEL": "/no/such/folder"}, "scorers.nll.model"),
        ({"REWRIGHT_SCORERS__JUDGE__PROMPT": "no-such-prompt"}, "scorers.judge.prompt"),
        ({"REWRIGHT_SCORERS__DIVERSITY__MODEL": "/no/such/folder"}, "scorers.diversity.model"),
    ],
)
def test_a_start_that_cannot_succeed_says_why_without_a_traceback(environment, named, tmp_path):
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("VERIFY", "JUDGE", "NLL", "DIVERSITY")}
    wanted = {k: v for k, v in off.items() if not any(e.startswith(k.removesuffix("WHERE")) for e in environment)}
    process = WarmProcess("rewright.service", environment=os.environ | wanted | environment, output=tmp_path / "said")
    assert process.wait(PATIENCE_S) == 2
    said = (tmp_path / "said").read_text()
    assert named in said and "Traceback" not in said


def test_a_setting_that_is_none_is_said_before_anything_is_loaded():
    ended = subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        env={**os.environ, "REWRIGHT_PORT": "eighty"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "port" in ended.stderr and "Traceback" not in ended.stderr


def test_sigterm_ends_the_process_cleanly():
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
    with serve_process(off) as server:
        with server.client() as client:
            body = {"groups": [{"answer": "42", "candidates": ["\\boxed{42}"]}]}
            assert client.post("/v1/verify", json=body).json()["groups"][0]["candidates"][0]["correct"] is True
            assert client.post("/v1/nll", json={"groups": [{"problem": "p", "candidates": ["a"]}]}).status_code == 503
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
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
        until(lambda: len(descendants(server.process.pid)) >= 4)  # resource tracker, forkserver, and workers
        family = descendants(server.process.pid)
        server.process.send_signal(sent)
        server.process.wait(PATIENCE_S)
        asking.join(PATIENCE_S)
        until(lambda: not any(lives(pid) for pid in family))


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
    process = WarmProcess("rewright.service", environment=os.environ | off, output=log)
    try:
        until(lambda: process.poll() is not None or (log.exists() and "opening nll" in log.read_text()))
        assert process.poll() is None, log.read_text()
        children = psutil.Process(process.pid).children(recursive=True)
        assert children  # the verifier's
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        _, left = psutil.wait_procs(children, timeout=PATIENCE_S)
        assert left == []
    finally:
        process.kill()
        process.wait()
