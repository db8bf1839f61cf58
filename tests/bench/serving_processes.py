"""Processes under load: stand-in pods, gateways, the real service; and what they cost."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.serving_load import wait_ready

ROOT = Path(__file__).resolve().parents[2]
STANDINS = str(ROOT / "tests" / "bench" / "serving_standins.py")
NAMES = ("VERIFY", "JUDGE", "NLL", "DIVERSITY")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(frozen=True)
class Server:
    url: str
    process: "subprocess.Popen[bytes]"

    def cpu_s(self) -> float:
        """CPU seconds of the process itself so far (Linux)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def started(command: Sequence[str], environment: Mapping[str, str], *, ready_s: float = 120.0) -> Iterator[Server]:
    """The process, ready; ended at the end, whatever state a test left it in."""
    port = free_port()
    full = {**os.environ, "HF_HUB_OFFLINE": "1", "REWRIGHT_PORT": str(port), **environment}
    process = subprocess.Popen([sys.executable, *command], env=full, cwd=ROOT, stderr=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_ready([server.url], seconds=ready_s, alive=lambda: process.poll() is None)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def pods(count: int, *options: str) -> Iterator[list[Server]]:
    """So many stand-in pods of the NLL."""
    with ExitStack() as stack:
        yield [stack.enter_context(started([STANDINS, "--only", "nll", *options], {})) for _ in range(count)]


@contextmanager
def gateway(urls: Sequence[str], **environment: str) -> Iterator[Server]:
    """The real service with its NLL at those addresses and nothing else."""
    where = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in NAMES}
    where |= {"REWRIGHT_SCORERS__NLL__WHERE": "remote", "REWRIGHT_SCORERS__NLL__URL": ",".join(urls)}
    with started(["-m", "rewright.service"], {**where, "REWRIGHT_LOG_LEVEL": "error", **environment}) as server:
        yield server


def load_average() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
