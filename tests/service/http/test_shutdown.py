"""The end of a process under load, keys that change while it runs, and logs that hold no text."""

import signal
import threading

import httpx
import pytest

from rewright.service.errors import SettingsError
from rewright.service.http.app import create_app
from rewright.service.settings import Settings, load
from tests.bench.serving_processes import started
from tests.live_server import serve_app
from tests.plain_scorers import PlainNll, plain_scorers
from tests.waiting import PATIENCE_S, until

BODY = {"groups": [{"problem": "p", "reference": "r", "candidates": ["secret text"] * 8}]}


def test_sigterm_answers_what_was_let_in_and_refuses_the_rest(tmp_path):
    let_go = tmp_path / "let-go"
    command = ["-m", "tests.service.http.held_service", str(let_go)]
    # The port would stay open for long: that the test sees the closed door is no matter of time.
    with started(command, {"REWRIGHT_LEAVE_S": "300"}) as server:
        statuses, refused = [], []

        def ask():
            response = httpx.post(f"{server.url}/v1/nll", json=BODY, timeout=PATIENCE_S)
            statuses.append(response.status_code)
            assert "failed" not in response.text

        callers = [threading.Thread(target=ask) for _ in range(6)]
        for caller in callers:
            caller.start()
        inside = 'rewright_waiting_candidates{scorer="nll"} 48.0'
        until(lambda: inside in httpx.get(f"{server.url}/metrics").text)
        server.send(signal.SIGTERM)
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        refused.append(httpx.post(f"{server.url}/v1/nll", json=BODY))
        refused.append(httpx.get(f"{server.url}/readyz"))
        assert statuses == []
        let_go.touch()
        for caller in callers:
            caller.join()
        assert statuses == [200] * 6
        assert [r.status_code for r in refused] == [503, 503]
        assert refused[0].json()["error"]["retryable"] is True
        server.send(signal.SIGTERM)  # nothing is left to be done, so the second one costs nothing
        assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    """While a caller waits, and while a thread hangs that the end of the event loop would wait for."""
    command = ["-m", "tests.service.http.held_service", str(tmp_path / "never"), "and a thread"]
    with started(command, {"REWRIGHT_LEAVE_S": "300"}) as server:
        lost = []

        def ask():
            try:
                httpx.post(f"{server.url}/v1/nll", json=BODY, timeout=PATIENCE_S)
            except httpx.TransportError:
                lost.append(True)

        caller = threading.Thread(target=ask)
        caller.start()
        until(lambda: 'rewright_waiting_candidates{scorer="nll"} 8.0' in httpx.get(f"{server.url}/metrics").text)
        server.send(signal.SIGTERM)
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        server.send(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
        caller.join()
        assert lost == [True]


def test_keys_of_a_file_rotate_without_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr("rewright.service.http.auth.LOOK_EVERY_S", 0.0)
    file = tmp_path / "keys"
    file.write_text("old\n\n")
    with serve_app(plain_scorers(), Settings(api_keys="fixed", api_keys_file=file)) as server:

        def status(key):
            return httpx.get(f"{server.url}/v1/info", headers={"Authorization": f"Bearer {key}"}).status_code

        assert [status(key) for key in ("fixed", "old", "new")] == [200, 200, 401]
        file.write_text("new\nnewer\n")
        assert [status(key) for key in ("fixed", "old", "new", "newer")] == [200, 401, 200, 200]
        file.unlink()
        assert [status(key) for key in ("new", "old")] == [200, 401]


def test_a_file_of_keys_that_holds_none_is_refused_at_the_start(tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    for file in (empty, tmp_path / "missing"):
        with pytest.raises(SettingsError, match="api_keys_file"):
            create_app(Settings(api_keys_file=file), plain_scorers())
    monkeypatch.setenv("REWRIGHT_HOST", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("REWRIGHT_API_KEYS_FILE", str(empty))
    assert load().api_keys_file == empty


def test_logs_hold_ids_and_no_text(caplog):
    with serve_app(plain_scorers(nll=PlainNll(trouble=ValueError("secret text")))) as server, caplog.at_level("INFO"):
        for path in ("/v1/nll", "/v1/reward"):
            httpx.post(f"{server.url}{path}", json=BODY, headers={"X-Request-Id": "job-9"})
    assert "ValueError" in caplog.text and "plain_scorers.py" in caplog.text
    assert "secret" not in caplog.text and "Traceback" not in caplog.text
