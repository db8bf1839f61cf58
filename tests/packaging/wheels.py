"""The project's own wheel and source archive, and environments outside the checkout that a wheel is installed into."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

from tests.live_server import ROOT

TOP = ("service", "clients", "trainer")
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def ran(
    *command: object, cwd: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run it outside the checkout: without the path that makes the checkout's own packages importable."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**outside, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def copy_of_the_checkout(folder: Path) -> Path:
    """What a build reads, with its links: a build leaves folders behind, which the next one would take for sources."""
    folder.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in (*TOP, "rewright"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def built_wheel(sources: Path, folder: Path) -> Path:
    """Built without a network: setuptools is that of this environment."""
    built = ran(*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ".", cwd=sources)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def built_sdist(sources: Path, folder: Path) -> Path:
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    built = ran(sys.executable, "-c", code, cwd=sources)
    assert built.returncode == 0, built.stderr
    (archive,) = folder.glob("*.tar.gz")
    return archive


def environment_with_base_alone(wheel: Path, folder: Path) -> Path:
    """An environment with the wheel and what it requires without extras, copied from this one, so that no network is
    needed. Returns its folder of programs.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    installed = ran(*PIP, "--python", python, "install", "-q", "--no-deps", "--no-index", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stderr
    (site,) = (folder / "lib").glob("python*/site-packages")
    (ours,) = distributions(name="rewright", path=[str(site)])
    for needed in _required(ours, {}):
        for file in needed.files or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(needed.locate_file(file)), site / file)
    return folder / "bin"


def _required(ours: Distribution, seen: dict[str, Distribution]) -> Iterator[Distribution]:
    for line in ours.requires or ():
        needed = Requirement(line)
        if needed.name not in seen and (needed.marker is None or needed.marker.evaluate({"extra": ""})):
            seen[needed.name] = distribution(needed.name)
            yield seen[needed.name]
            yield from _required(seen[needed.name], seen)


def interpreter(version: str) -> Path | None:
    """A Python of this version that runs: of the PATH, or one that pyenv keeps and does not put there."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(kept.glob(f"{version}.*/bin/python"))]
    for candidate in candidates:
        if candidate is not None and ran(candidate, "-c", "", cwd=Path("/")).returncode == 0:
            return Path(candidate)
    return None
