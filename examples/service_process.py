"""The service as a process of its own on loopback, for the length of a demonstration, and a line that shows it start.

Its log goes to a file, which is shown only where something went wrong.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

START_S = 300
# Service and trainer take turns on few cores; threads that spin while they wait would hold up the other's work.
QUIET = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
SERVICE = {"REWRIGHT_LOG_LEVEL": "info"}


class ProgressLine:
    """What is under way and since when: one line, rewritten on a terminal; elsewhere a line per thing under way."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = ""

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def show(self, what: str) -> None:
        """What is under way now; called again and again while it is."""
        if sys.stdout.isatty():
            print(f"\r\033[K{what} … {self.seconds:.0f} s", end="", flush=True)
        elif what != self._shown:
            print(f"{what} …", flush=True)
        self._shown = what

    def end(self, what: str) -> None:
        """What came of it; the last line."""
        start = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{start}{what} ({self.seconds:.1f} s)", flush=True)


@contextmanager
def running_service(settings: Mapping[str, str] | None = None) -> Iterator[str]:
    """Its base URL, once it is ready: port 8000 where that is free, else any. settings: REWRIGHT_… beside the
    environment's.

    Where it does not come up, or the work with it fails, the end of its log and the log's path are shown.
    """
    port = 8000 if _is_free(8000) else _any_free_port()
    url = f"http://127.0.0.1:{port}"
    handle, name = tempfile.mkstemp(prefix="rewright-service-", suffix=".log")
    log = Path(name)
    with open(handle, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "rewright.service"],
            env={**os.environ, **QUIET, **SERVICE, **(settings or {}), "REWRIGHT_PORT": str(port)},
            stdout=out,
            stderr=out,
        )
    failed = False
    try:
        _wait_until_ready(url, process, log)
        yield url
    except (Exception, SystemExit):
        failed = True
        print("\n\nThe service's log ends:", *_trouble(log), f"All of it: {log}\n", sep="\n", file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(30)
        if not failed:
            log.unlink()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    line = ProgressLine()
    while process.poll() is None:
        line.show(f"starting the service: {_under_way(log)}")
        try:
            if httpx.get(f"{url}/readyz", timeout=30).status_code == httpx.codes.OK:
                line.end(f"the service is ready at {url}")
                return
        except httpx.TransportError:
            time.sleep(0.3)
        if line.seconds > START_S:
            sys.exit(f"the service was not ready within {START_S} s")
    sys.exit(f"the service ended with status {process.returncode}")


def _under_way(log: Path) -> str:
    """What the service says it is at: which scorer opens, or which model is unpacked the first time."""
    at = "importing"
    for _, message in _lines(log):
        if message.startswith(("opening ", "converting ")):
            at = message
        elif message.startswith("opened "):
            at = "warming up"
    return at


def _trouble(log: Path) -> list[str]:
    """The last lines of its log that are more than news."""
    return [message for level, message in _lines(log) if level != "info"][-5:]


def _lines(log: Path) -> Iterator[tuple[str, str]]:
    """Level and message of each line; one that is not JSON (a library's, say) has the level "" and is its message."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            yield entry["level"], entry["message"]
        except (ValueError, TypeError, KeyError):
            yield "", line


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def _any_free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
