"""`rewright view URL`: the service's page in the browser, or what is wrong, in words to act on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rewright.clients.cli.main import main
from rewright.clients.view.service_page import page_address
from rewright.service.errors import InvalidRequest, NotFound, ScorerUnavailable, SettingsError
from rewright.service.settings import Settings
from tests.live_server import ROOT, free_port, serve_app
from tests.plain_scorers import plain_scorers


@contextmanager
def somebody(status: int, body: str, location: str | None = None) -> Iterator[str]:
    """A server of somebody else's, which answers everything alike."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_of_a_service_is_opened(tmp_path: Path) -> None:
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n', encoding="utf-8")
    browser.chmod(0o755)
    with serve_app(plain_scorers(), Settings(ui=True, api_keys="secret-key")) as server:
        done = subprocess.run(
            [sys.executable, "-m", "rewright.clients.cli.main", "view", f"{server.url}/"],
            cwd=ROOT, env=os.environ | {"BROWSER": f"{browser} %s"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.split() == [f"{server.url}/ui"] == seen.read_text(encoding="utf-8").split()
        assert page_address(f"{server.url}/ui") == f"{server.url}/ui"
        with somebody(307, "", f"{server.url}/ui") as other:
            assert page_address(other) == f"{server.url}/ui"


@pytest.mark.parametrize("keys", [{}, {"api_keys": "secret-key"}])
def test_a_service_without_the_page_says_which_setting_brings_it(keys: dict[str, str]) -> None:
    with serve_app(plain_scorers(), Settings(**keys)) as server, pytest.raises(SettingsError, match="REWRIGHT_UI=true"):
        page_address(server.url)


def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ScorerUnavailable, match="nothing answers"):
        page_address(nobody)
    for address in ("http://", "https://:x/", "http://a b/"):
        with pytest.raises((InvalidRequest, ScorerUnavailable)):
            page_address(address)
    with somebody(200, "<title>Something else</title>") as other, pytest.raises(InvalidRequest, match="not with the"):
        page_address(other)
    with somebody(404, "<h1>nginx</h1>") as other, pytest.raises(NotFound, match="is the address right"):
        page_address(other)
    with somebody(302, "", "/ui") as other, pytest.raises(ScorerUnavailable, match="TooManyRedirects"):
        page_address(other)
    assert main(["view", nobody]) == 1
    assert main(["view", nobody, "--out", str(tmp_path / "page.html")]) == 2
    assert "--out is for files" in capsys.readouterr().err
