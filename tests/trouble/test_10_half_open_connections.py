"""10. Connections that ask nothing do not silence the service, and a head that never ends is ended."""

import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from rewright.service.http import connections
from tests.live_server import ROOT, free_port

DESCRIPTORS = 160
SERVER = """
import asyncio, logging, sys, uvicorn, uvloop
from rewright.service.http import connections
from rewright.service.http.app import create_app
from rewright.service.settings import Settings
from tests.plain_scorers import plain_scorers
logging.basicConfig()
connections.HEADERS_S = float(sys.argv[2])
async def serve():
    http = connections.bounded(connections.connections_that_fit())
    app = create_app(Settings(), plain_scorers())
    config = uvicorn.Config(app, port=int(sys.argv[1]), http=http, log_level="error")
    await uvicorn.Server(config).serve()
uvloop.run(serve())
"""


class Served:
    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = process


def serve(stack: ExitStack, *, head_s: float, descriptors: int) -> Served:
    port = free_port()

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    command = [sys.executable, "-c", SERVER, str(port), str(head_s)]
    process = stack.enter_context(subprocess.Popen(command, cwd=ROOT, preexec_fn=few, stderr=subprocess.PIPE))  # noqa: PLW1509
    stack.callback(process.kill)
    while process.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz")
            break
        except httpx.TransportError:
            time.sleep(0.05)
    return Served(port, process)


@pytest.fixture
def served() -> Iterator[Served]:
    with ExitStack() as stack:
        yield serve(stack, head_s=300.0, descriptors=DESCRIPTORS)


def half_open(stack: ExitStack, port: int, count: int) -> list[socket.socket]:
    opened = []
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Never:")
        opened.append(connection)
    return opened


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_health_is_answered_beside_three_hundred_unfinished_heads(served):
    with ExitStack() as stack:
        opened = half_open(stack, served.port, 300)
        for _ in range(20):
            assert httpx.get(f"{served.url}/healthz", timeout=30).status_code == 200
        body = {"groups": [{"problem": "p", "candidates": ["nll=1"]}]}
        assert httpx.post(f"{served.url}/v1/nll", json=body, timeout=30).status_code == 200
        # Those that came first made room.
        assert closed(opened[0])
    served.process.terminate()
    log = served.process.communicate(timeout=60)[1]
    assert len(log.splitlines()) < 20


def test_a_head_or_a_rest_that_never_comes_is_ended():
    with ExitStack() as stack:
        served = serve(stack, head_s=0.5, descriptors=1024)
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        (unfinished,) = half_open(stack, served.port, 1)
        assert closed(silent) and closed(unfinished)
        # The second head on a kept connection too.
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(65_536).startswith(b"HTTP/1.1 200")
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        while kept.recv(65_536):
            pass
        # An answered request whose body is never sent to its end.
        rest = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        rest.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nabc")
        while rest.recv(65_536):
            pass


def test_the_bound_leaves_descriptors_for_the_rest(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (DESCRIPTORS, DESCRIPTORS))
    monkeypatch.setattr(connections.os, "listdir", lambda _: ["0"] * 40)
    assert connections.connections_that_fit() == 90
