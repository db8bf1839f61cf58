"""The real app as a killable process, over scorers whose nll is told by the text: rewards differ, and always alike.

python tests/trainer/service_process.py PORT FOLDER

The folder is how a test talks to the verifier (`Holdable`): so a run can be met at one point of its way on any machine.
"""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from rewright.service.schema import Group  # noqa: E402
from tests.plain_scorers import PlainVerifier  # noqa: E402
from tests.waiting import until  # noqa: E402


class KillableService:
    """On one port, started and killed as a test likes. script: what is started, with port, `folder` and `arguments`."""

    def __init__(self, port: int, folder: Path, script: str = __file__, *arguments: str) -> None:
        self.port = port
        self._folder = folder
        self._command = [sys.executable, script, str(port), str(folder), *arguments]
        self.url = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Holds nothing, whatever was held before."""
        self.go_on()
        self._process = subprocess.Popen(self._command, cwd=ROOT, stderr=subprocess.DEVNULL)
        until(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def hold_once(self, file: Path, text: str = "", times: int = 1) -> None:
        """Nothing is scored any more from the moment on that `file` holds `text` so many times."""
        said = self._folder / "said"
        said.write_text(json.dumps({"file": str(file), "text": text, "times": times}), encoding="utf-8")
        said.rename(self._folder / "hold")

    def go_on(self) -> None:
        (self._folder / "hold").unlink(missing_ok=True)

    def asked(self) -> int:
        """How often the verifier was asked to score."""
        file = self._folder / "asked"
        return file.stat().st_size if file.exists() else 0

    def turn_away(self, times: int) -> None:
        """In place of the killed service: so many connections are taken and closed, then the port is free again."""
        with socket.create_server(("127.0.0.1", self.port)) as listening:
            for _ in range(times):
                listening.accept()[0].close()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def killable_service(port: int, *script: str) -> Iterator[KillableService]:
    with tempfile.TemporaryDirectory() as folder:
        service = KillableService(port, Path(folder), *script)
        service.start()
        try:
            yield service
        finally:
            service.kill()


class Holdable(PlainVerifier):
    """In the service's process: counts what it is asked, and waits while the test holds it."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[Any]:
        with (self._folder / "asked").open("ab") as asked:
            asked.write(b".")
        while self._held():  # noqa: ASYNC110 - another process lets go
            await asyncio.sleep(0.01)
        return await super().score(groups, tokens=tokens)

    def _held(self) -> bool:
        try:
            hold = json.loads((self._folder / "hold").read_text(encoding="utf-8"))
            held = Path(hold["file"]).read_text(encoding="utf-8")
        except FileNotFoundError:
            return False
        return held.count(hold["text"]) >= hold["times"]


def main(port: int, folder: Path) -> None:
    import uvicorn

    from rewright.service.http.app import create_app
    from rewright.service.settings import Settings
    from tests.clients.scorers_by_text import NllByText
    from tests.plain_scorers import plain_scorers

    scorers = plain_scorers(verify=Holdable(folder), nll=NllByText())
    uvicorn.run(create_app(Settings(), scorers), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
