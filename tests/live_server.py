"""Real servers for tests: the service as a process of its own, or an app over given scorers in a thread."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn

from rewright.service.http.app import create_app
from rewright.service.scorers.base import Scorers
from rewright.service.settings import Settings
from rewright.service.wiring import opened_store

ROOT = Path(__file__).resolve().parents[1]
START_S = 240.0


@dataclass(frozen=True)
class LiveServer:
    url: str
    process: "subprocess.Popen[bytes] | None" = None
    log: Path | None = None

    def client(self, **options: object) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=120.0, **options)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def serve_process(environment: Mapping[str, str], *, interpreter: str = sys.executable) -> Iterator[LiveServer]:
    """`python -m rewright.service` on loopback, ready; ended by SIGTERM, without turning callers away first unless the
    environment says so. Fails with the server's log if it does not come up.
    """
    port = free_port()
    log = Path(os.environ.get("TMPDIR", "/tmp")) / f"rewright-test-{port}.log"  # noqa: S108
    full = {**os.environ, "HF_HUB_OFFLINE": "1", "REWRIGHT_PORT": str(port), "REWRIGHT_LEAVE_S": "0", **environment}
    with log.open("wb") as out:
        process = subprocess.Popen([interpreter, "-m", "rewright.service"], env=full, cwd=ROOT, stdout=out, stderr=out)
    server = LiveServer(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.unlink(missing_ok=True)


def _wait_until_ready(server: LiveServer) -> None:
    assert server.process is not None and server.log is not None
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.url}/readyz", timeout=30).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"the service did not come up:\n{server.log.read_text()[-4000:]}")


@contextmanager
def serve_app(scorers: Scorers, settings: Settings | None = None, *, port: int = 0) -> Iterator[LiveServer]:
    """The app over the given scorers, on a real socket, in a thread of this process. port: 0 for any."""
    port = port or free_port()
    settings = settings or Settings()
    servers: list[uvicorn.Server] = []

    async def serve() -> None:
        for scorer in scorers:
            await scorer.open()
        async with opened_store(settings) as store:
            app = create_app(settings, scorers, store)
            servers.append(uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")))
            await servers[0].serve()
        for scorer in scorers:
            await scorer.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    while not (servers and servers[0].started) and thread.is_alive():
        time.sleep(0.01)
    assert servers and servers[0].started
    try:
        yield LiveServer(f"http://127.0.0.1:{port}")
    finally:
        servers[0].should_exit = True
        thread.join(20)
