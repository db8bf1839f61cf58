"""Rendered Deployments as processes on loopback: their own command, environment and probes; one process a Deployment.
Those named as `warm` have their command run in an interpreter that has imported torch already.

Differs from a cluster only where a process must: names of Services become loopback ports, mounted volumes become
folders, and the service listens on 127.0.0.1. HOME and the working directory are empty folders that stand for the
read-only root: whatever appears there would have failed in the container.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import platformdirs

from tests.k8s.rendered import Object, Rendered, container, name_of, pod
from tests.live_server import free_port
from tests.warm_process import WarmProcess


class LocalPod:
    def __init__(
        self,
        deployment: Object,
        command: list[str],
        environment: Mapping[str, str],
        port: int,
        folder: Path,
        *,
        warm: bool,
    ) -> None:
        self.name = name_of(deployment)
        self.url = f"http://127.0.0.1:{port}"
        self.root = folder / "root"
        self._log = folder / "log"
        self._box = container(deployment)
        self._command = command
        self._pod = pod(deployment)["spec"]
        self._environment = self._on_this_machine(environment, port, folder)
        self._warm = warm
        self._process: subprocess.Popen[bytes] | WarmProcess | None = None

    def _on_this_machine(self, environment: Mapping[str, str], port: int, folder: Path) -> dict[str, str]:
        # Models that were unpacked before need not be unpacked again: the cache volume outlives pods.
        places = {"/cache": str(platformdirs.user_cache_path("rewright").parent), "/tmp": str(folder / "tmp")}  # noqa: S108
        assert {mount["mountPath"] for mount in self._box["volumeMounts"]} == set(places)
        for place in (self.root, folder / "tmp"):
            place.mkdir(parents=True)
        adapted = dict(environment)
        for variable, value in environment.items():
            for mounted, local in places.items():
                if value == mounted or value.startswith(mounted + "/"):
                    adapted[variable] = local + value.removeprefix(mounted)
        assert environment["REWRIGHT_PORT"] == str(self._box["ports"][0]["containerPort"])
        return adapted | {
            "REWRIGHT_HOST": "127.0.0.1",
            "REWRIGHT_PORT": str(port),
            "HOME": str(self.root),
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "OMP_WAIT_POLICY": "PASSIVE",
            "HF_HUB_OFFLINE": "1",
        }

    def start(self) -> None:
        if self._warm:
            command, *arguments = self._command
            assert command == "rewright"
            self._process = WarmProcess(
                "rewright.clients.cli.main",
                *arguments,
                environment=self._environment,
                folder=self.root,
                output=self._log,
            )
            return
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self.root,
                stdout=out,
                stderr=out,
            )

    @property
    def process(self) -> "subprocess.Popen[bytes] | WarmProcess":
        assert self._process is not None
        return self._process

    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def passes(self, probe: str) -> bool:
        """Whether a probe of the manifest passes now."""
        asked = self._box[probe]
        assert asked["httpGet"]["port"] == self._box["ports"][0]["name"]
        try:
            answer = httpx.get(self.url + asked["httpGet"]["path"], timeout=asked["timeoutSeconds"])
        except httpx.TransportError:
            return False
        return answer.is_success

    def wait_until_ready(self) -> None:
        """As the kubelet does: the startup probe within its own patience, then readiness and liveness."""
        startup = self._box["startupProbe"]
        deadline = time.monotonic() + startup["periodSeconds"] * startup["failureThreshold"]
        while not (self.passes("startupProbe") and self.passes("readinessProbe")):
            ended = self.process.poll()
            assert ended is None and time.monotonic() < deadline, f"{self.name}: exit {ended}\n{self.log()[-4000:]}"
            time.sleep(0.05)
        assert self.passes("livenessProbe")

    def kill(self) -> None:
        """What a lost node or the out-of-memory killer does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and the exit status; an end only by SIGKILL after the pod's grace period is an error."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self._pod["terminationGracePeriodSeconds"])
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end\n{self.log()[-4000:]}") from None


@contextmanager
def running(
    rendered: Rendered,
    folder: Path,
    *,
    elsewhere: Mapping[str, int] | None = None,
    changed: Mapping[str, str] | None = None,
    warm: Collection[str] = (),
) -> Iterator[dict[str, LocalPod]]:
    """Every Deployment of the overlay that runs this service, ready, by name.

    elsewhere: ports of Services that others play. changed: variables whose rendered values need what is not here, such
    as a model; only those that a Deployment has are replaced.
    """
    deployments = {name_of(d): d for d in rendered.of_this_service()}
    ports = {name: free_port() for name in deployments}
    addresses = {}
    for service in map(name_of, rendered.of("Service")):
        (behind,) = rendered.services_pods(service)
        addresses[service] = {**ports, **(elsewhere or {})}[name_of(behind)]
    pods = {}
    for name, deployment in deployments.items():
        environment = rendered.environment(deployment)
        environment |= {k: v for k, v in (changed or {}).items() if k in environment}
        for service, port in addresses.items():
            number = rendered.named("Service", service)["spec"]["ports"][0]["port"]
            for variable, value in environment.items():
                environment[variable] = value.replace(f"//{service}:{number}", f"//127.0.0.1:{port}")
        command = rendered.arguments(deployment)
        pods[name] = LocalPod(deployment, command, environment, ports[name], folder / name, warm=name in warm)
    try:
        for one in pods.values():
            one.start()
        for one in pods.values():
            one.wait_until_ready()
        yield pods
    finally:
        for one in pods.values():
            one.kill()
