"""The service as a process of its own on loopback, for the length of a demonstration."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

START_S = 300
# Service and trainer take turns on few cores; threads that spin while they wait would hold up the other's work.
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}


@contextmanager
def running_service() -> Iterator[str]:
    """Its base URL, once it is ready: port 8000 where that is free, else any."""
    port = 8000 if _is_free(8000) else _any_free_port()
    url = f"http://127.0.0.1:{port}"
    print(f"starting the service at {url} (the first start converts the embedded model; about 20 s)", flush=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "rewright.service"],
        env={**os.environ, **QUIET, "REWRIGHT_PORT": str(port), "REWRIGHT_LOG_LEVEL": "warning"},
    )
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(url: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the service ended with status {process.returncode}; its last lines say why")
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    sys.exit(f"the service was not ready within {START_S} s")


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def _any_free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
