"""The processes of the chaos, and what is done to them: killed, hung, sent back in another version, made to rave."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.bench.serving_processes import ROOT, free_port
from tests.fake_openai import FakeOpenAI, Reply

POD = str(ROOT / "tests" / "bench" / "chaos_pod.py")
PODS = {"verify": 2, "judge": 2, "nll": 2, "diversity": 2}
START_S = 240.0


class Process:
    """One that is started again under the same address whenever it has gone."""

    def __init__(self, command: list[str], environment: Mapping[str, str], port: int) -> None:
        self._command = command
        self.environment = dict(environment)
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        full = {**os.environ, "HF_HUB_OFFLINE": "1", "REWRIGHT_PORT": str(self.port), **self.environment}
        out = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, env=full, cwd=ROOT, stdout=out, stderr=out)

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def descendants(self) -> list[int]:
        """Processes below this one: the verifier's workers, and the forkserver that they come from."""
        found, ahead = [], [self._process.pid] if self._process is not None else []
        while ahead:
            pid = ahead.pop()
            with suppress(OSError, ValueError):
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                ahead += map(int, children)
                found += map(int, children)
        return found

    def wait_ready(self) -> None:
        end = time.monotonic() + START_S
        # One client: each has an SSL context of its own, which costs more than many requests.
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10) as client:
            while time.monotonic() < end:
                with suppress(httpx.HTTPError):
                    if client.get("/readyz").status_code == httpx.codes.OK:
                        return
                time.sleep(0.2)
        raise RuntimeError(f"{self._command} did not come up")


class Town:
    """Gateway, eight pods, a judge's server and, where it is installed, Redis. On loopback alone."""

    def __init__(self, folder: Path) -> None:
        self.judge = FakeOpenAI()
        self.judge.start()
        redis_port = free_port()
        redis = shutil.which("redis-server")
        self.redis = None
        if redis is not None:
            options = ["--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
            self.redis = Process([redis, *options], {}, redis_port)
            self.redis.start()
        common = {"CHAOS_JUDGE": self.judge.base_url, "CHAOS_REVISION": "a", "REWRIGHT_LOG_LEVEL": "error"}
        if self.redis is not None:
            common["CHAOS_REDIS"] = f"redis://127.0.0.1:{redis_port}"
        self.pods = {
            name: [Process([sys.executable, POD], common | {"CHAOS_SCORER": name}, free_port()) for _ in range(count)]
            for name, count in PODS.items()
        }
        where = {}
        for name, pods in self.pods.items():
            where[f"REWRIGHT_SCORERS__{name.upper()}__WHERE"] = "remote"
            where[f"REWRIGHT_SCORERS__{name.upper()}__URL"] = ",".join(f"http://127.0.0.1:{p.port}" for p in pods)
        service = [sys.executable, "-m", "rewright.service"]
        self.gateway = Process(service, where | {"REWRIGHT_LOG_LEVEL": "error"}, free_port())

    def __enter__(self) -> Self:
        everyone = [pod for pods in self.pods.values() for pod in pods] + [self.gateway]
        try:
            for process in everyone:
                process.start()
            for process in everyone:
                process.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self.judge.stop()
        for process in [self.gateway, *(pod for pods in self.pods.values() for pod in pods), self.redis]:
            if process is not None:
                process.end()


class Chaos:
    """Does something to somebody every `every_s` seconds, and notes what."""

    def __init__(self, town: Town, *, every_s: float, seed: int) -> None:
        self._town = town
        self._every_s = every_s
        self._random = random.Random(seed)
        self._over = threading.Event()
        self.done: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._keep_going)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _keep_going(self) -> None:
        deeds: list[tuple[str, Callable[[], None]]] = [
            ("worker of a verify pod killed", self._kill_worker),
            ("forkserver of a verify pod killed", self._kill_forkserver),
            ("pod killed and started again", self._kill_pod),
            ("pod told to stop and started again", self._stop_pod),
            ("pod hung for 3 s", self._hang_pod),
            ("pod answering garbage for 3 s", self._rave),
            ("nll pods sent back one by one in another version", self._new_version),
            ("judge's server away for 2 s", self._judge_away),
            ("judge's server raving for 2 s", self._judge_raves),
        ]
        if self._town.redis is not None:
            deeds += [
                ("Redis killed and started again", self._kill_redis),
                ("Redis filled with garbage", self._spoil_redis),
            ]
        turn = 0
        while not self._over.wait(self._every_s):
            name, deed = deeds[turn % len(deeds)] if turn < len(deeds) else self._random.choice(deeds)
            turn += 1
            deed()
            self.done[name] += 1

    def _pod(self) -> Process:
        return self._random.choice([pod for pods in self._town.pods.values() for pod in pods])

    def _kill_worker(self) -> None:
        workers = self._random.choice(self._town.pods["verify"]).descendants()[1:]
        for pid in self._random.sample(workers, min(2, len(workers))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _kill_forkserver(self) -> None:
        for pid in self._random.choice(self._town.pods["verify"]).descendants():
            with suppress(OSError):
                if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    def _kill_pod(self) -> None:
        pod = self._pod()
        pod.end()
        pod.start()

    def _stop_pod(self) -> None:
        pod = self._pod()
        pod.end(signal.SIGTERM)
        pod.start()

    def _hang_pod(self) -> None:
        self._for_a_while(self._pod(), signal.SIGSTOP, signal.SIGCONT)

    def _rave(self) -> None:
        self._for_a_while(self._pod(), signal.SIGUSR1, signal.SIGUSR2)

    def _for_a_while(self, pod: Process, begin: signal.Signals, end: signal.Signals) -> None:
        pod.send(begin)
        self._over.wait(3.0)
        pod.send(end)

    def _new_version(self) -> None:
        for pod in self._town.pods["nll"]:
            pod.end(signal.SIGTERM)
            pod.environment["CHAOS_REVISION"] = "b" if pod.environment["CHAOS_REVISION"] == "a" else "a"
            pod.start()
            pod.wait_ready()

    def _judge_away(self) -> None:
        self._town.judge.stop()
        self._over.wait(2.0)
        self._town.judge.start()

    def _judge_raves(self) -> None:
        kinds = [
            Reply(body="rubbish"),
            Reply(status=500),
            Reply(status=401),
            Reply(body="[" * 50_000),
            Reply(drop=True),
        ]
        for kind in kinds:
            self._town.judge.usual = kind
            self._over.wait(0.4)
        self._town.judge.usual = None

    def _kill_redis(self) -> None:
        if self._town.redis is not None:
            self._town.redis.end()
            self._over.wait(1.0)
            self._town.redis.start()

    def _spoil_redis(self) -> None:
        import redis

        if self._town.redis is None:
            return
        with suppress(redis.RedisError), redis.Redis(port=self._town.redis.port) as store:
            for key in store.scan_iter(count=1000):
                store.set(key, self._random.choice([b"", b"{", b'{"nll": 1e300, "n_tokens": 1}', b"\xff\xfe", b"null"]))
