"""What kubectl makes of an overlay, as objects, and what a container of it would find in its environment.

Follows the rules of the API for what these manifests use: envFrom before env, keys of ConfigMaps and Secrets,
resourceFieldRef of limits.cpu, $(VARIABLE) in arguments. Anything else there is an error here rather than a guess.
"""

import functools
import math
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

K8S = Path(__file__).resolve().parents[2] / "k8s"
OVERLAYS = sorted(folder.name for folder in (K8S / "overlays").iterdir())
KEYS = {"rewright-keys": {"api-keys": "key-in-use,key-to-come", "judge-api-key": "key-of-the-judge"}}
"""The one Secret that docs/kubernetes.md tells to make."""

Object = dict[str, Any]


@functools.cache
def kubectl_output(overlay: str) -> str:
    return kubectl_kustomize(K8S / "overlays" / overlay)


def kubectl_kustomize(folder: Path) -> str:
    """The YAML that kubectl renders the folder to; the test is skipped where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed; it renders the overlays")
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Rendered:
    """All objects of one overlay."""

    def __init__(self, overlay: str) -> None:
        self.overlay = overlay
        self.objects: list[Object] = list(yaml.safe_load_all(kubectl_output(overlay)))

    def of(self, kind: str) -> list[Object]:
        return [o for o in self.objects if o["kind"] == kind]

    def named(self, kind: str, name: str) -> Object:
        (found,) = [o for o in self.of(kind) if o["metadata"]["name"] == name]
        return found

    def services_pods(self, service: str) -> list[Object]:
        """The Deployments whose pods the Service selects."""
        selector = self.named("Service", service)["spec"]["selector"]
        return [d for d in self.of("Deployment") if matches(selector, pod(d)["metadata"]["labels"])]

    def of_this_service(self) -> list[Object]:
        """Deployments whose pods run our own command."""
        return [d for d in self.of("Deployment") if d["metadata"]["labels"]["rewright/runs"] == "service"]

    def environment(self, deployment: Object, secrets: Mapping[str, Mapping[str, str]] = KEYS) -> dict[str, str]:
        """What the container's process finds, a missing ConfigMap or Secret being an error as in the cluster."""
        box = container(deployment)
        found: dict[str, str] = {}
        for source in box.get("envFrom", []):
            found |= self.named("ConfigMap", source["configMapRef"]["name"])["data"]
        for variable in box.get("env", []):
            value = variable["value"] if "value" in variable else self._from(variable["valueFrom"], box, secrets)
            if value is not None:
                found[variable["name"]] = value
        return found

    def arguments(self, deployment: Object) -> list[str]:
        """Command and arguments as the process gets them."""
        known, box = self.environment(deployment), container(deployment)
        return [re.sub(r"\$\((\w+)\)", lambda m: known[m[1]], a) for a in [*box["command"], *box.get("args", [])]]

    def _from(self, source: Object, box: Object, secrets: Mapping[str, Mapping[str, str]]) -> str | None:
        ((kind, reference),) = source.items()
        if kind == "secretKeyRef":
            if reference.get("optional") and reference["name"] not in secrets:
                return None
            return secrets[reference["name"]][reference["key"]]
        if kind == "configMapKeyRef":
            return str(self.named("ConfigMap", reference["name"])["data"][reference["key"]])
        assert (kind, reference["resource"]) == ("resourceFieldRef", "limits.cpu"), source
        return str(math.ceil(cores(box["resources"]["limits"]["cpu"])))


def pod(deployment: Object) -> Object:
    return deployment["spec"]["template"]


def container(deployment: Object) -> Object:
    (only,) = pod(deployment)["spec"]["containers"]
    return only


def name_of(thing: Object) -> str:
    return str(thing["metadata"]["name"])


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def cores(quantity: str) -> float:
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def mebibytes(quantity: str) -> float:
    units = {"Mi": 1, "Gi": 1024}
    return float(quantity[:-2]) * units[quantity[-2:]]


def everything_in(value: Any) -> Iterator[Any]:
    """Every mapping inside, however deep."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from everything_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from everything_in(part)
