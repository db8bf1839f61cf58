"""The real app as a killable process, over scorers whose nll is told by the text: rewards differ, and always alike.

python tests/trainer/service_process.py PORT
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]


class KillableService:
    """On one port, started and killed as a test likes. script: what is started, with the port and `arguments`."""

    def __init__(self, port: int, script: str = __file__, *arguments: str) -> None:
        self.port = port
        self._command = [sys.executable, script, str(port), *arguments]
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/healthz", timeout=5).status_code == httpx.codes.OK:
                    return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the service did not come up")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def killable_service(port: int, *script: str) -> Iterator[KillableService]:
    service = KillableService(port, *script)
    service.start()
    try:
        yield service
    finally:
        service.kill()


def main(port: int) -> None:
    import uvicorn

    from rewright.service.http.app import create_app
    from rewright.service.settings import Settings
    from tests.clients.scorers_by_text import NllByText
    from tests.plain_scorers import PlainVerifier, plain_scorers

    scorers = plain_scorers(verify=PlainVerifier(delay=0.1), nll=NllByText())
    uvicorn.run(create_app(Settings(), scorers), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(int(sys.argv[1]))
