"""To whom the process shows itself: the addresses it binds, who gets an answer, and what a log gives away."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from rewright.service.errors import SettingsError
from rewright.service.settings import load
from tests.live_server import serve_process

ROOT = Path(__file__).resolve().parents[3]
EVERYWHERE = "0.0.0.0"  # noqa: S104
OFF = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
BODY = {"groups": [{"answer": "42", "candidates": ["a-private-thought \\boxed{42}"]}]}


def own_address() -> str:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(s.getsockname()[0])


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "10.1.2.3", "gpu-0.example", ""])
@pytest.mark.parametrize("keys", [None, "", " , ,"])
def test_any_address_but_loopback_needs_a_key_that_is_one(monkeypatch, host, keys):
    monkeypatch.setenv("REWRIGHT_HOST", host)
    if keys is not None:
        monkeypatch.setenv("REWRIGHT_API_KEYS", keys)
    with pytest.raises(SettingsError) as refused:
        load()
    assert "REWRIGHT_API_KEYS" in refused.value.message and "REWRIGHT_ALLOW_UNAUTHENTICATED" in refused.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_none(monkeypatch, host):
    monkeypatch.setenv("REWRIGHT_HOST", host)
    assert load().host == host


def test_the_process_refuses_before_it_binds():
    ended = subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        env={**os.environ, "REWRIGHT_HOST": EVERYWHERE},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "REWRIGHT_API_KEYS" in ended.stderr and "Traceback" not in ended.stderr


def test_by_default_only_this_machine_is_answered():
    with serve_process(OFF) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        port = httpx.URL(server.url).port
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://{own_address()}:{port}/healthz", timeout=10)


def test_with_keys_every_address_is_answered_and_no_log_or_answer_gives_one_away():
    keys = ["key-in-use-7f3a", "key-to-come-9c1b"]
    shown = []
    with serve_process({**OFF, "REWRIGHT_HOST": EVERYWHERE, "REWRIGHT_API_KEYS": ",".join(keys)}) as server:
        url = f"http://{own_address()}:{httpx.URL(server.url).port}"
        for key, status in ((keys[0], 200), (keys[1], 200), ("key-guessed", 401)):
            bearer = {"Authorization": f"Bearer {key}"}
            answers = [
                httpx.post(f"{url}/v1/verify", json=BODY, headers=bearer),
                httpx.get(f"{url}/v1/info", headers=bearer),
            ]
            assert [a.status_code for a in answers] == [status, status]
            shown += answers
        bearer = {"Authorization": f"Bearer {keys[0]}"}
        shown += [
            httpx.post(f"{url}/v1/verify", json=BODY),
            httpx.post(f"{url}/v1/verify", content=b'{"groups": "a-private-thought', headers=bearer),
            httpx.post(f"{url}/v1/nll", json={"groups": [{**BODY["groups"][0], "problem": "p"}]}, headers=bearer),
            httpx.get(f"{url}/metrics"),
            httpx.get(f"{url}/no/such/place?key={keys[0]}"),
        ]
        assert [a.status_code for a in shown[6:]] == [401, 422, 503, 200, 404]
        texts = [a.text for a in shown] + [server.log.read_text()]
    for text in texts:
        assert not [word for word in (*keys, "key-guessed", "a-private-thought", "Traceback") if word in text]
