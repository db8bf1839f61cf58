"""What a user installs: the wheel's contents, and the base alone, outside the checkout, on every Python there is."""

import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.live_server import ROOT, serve_app
from tests.packaging.installer import INSTALLER, uv_environment
from tests.packaging.wheels import (
    TOP,
    built_sdist,
    built_wheel,
    copy_of_the_checkout,
    environment_with_base_alone,
    interpreter,
    ran,
)
from tests.plain_scorers import plain_scorers

GROUPS = [
    {"id": f"g{i}", "problem": "p", "reference": "r", "candidates": [f"nll=0.{k} e=0.{k * k}" for k in range(1, 5)]}
    for i in range(3)
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return built_wheel(copy_of_the_checkout(folder / "sources"), folder)


@pytest.fixture(scope="module")
def base(wheel, tmp_path_factory) -> Path:
    return environment_with_base_alone(wheel, tmp_path_factory.mktemp("base") / "environment")


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.fixture
def users_folder(tmp_path) -> Path:
    """A working directory of the user's, with files that are named as our folders are."""
    for name in TOP:
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file of the user')\n")
    (tmp_path / "groups.jsonl").write_text("".join(json.dumps(group) + "\n" for group in GROUPS))
    return tmp_path


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_one_package_with_every_file_of_the_three_folders(wheel):
    names = names_in(wheel)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"rewright"}
    ours = {f"rewright/{f.relative_to(ROOT)}" for top in TOP for f in (ROOT / top).rglob("*") if f.is_file()}
    ours = {name for name in ours if "__pycache__" not in name} | {"rewright/__init__.py", "rewright/py.typed"}
    assert {name for name in names if ".dist-info/" not in name} == ours
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_source_archive_follows_the_links_and_gives_the_same_wheel(wheel, tmp_path):
    archive = built_sdist(copy_of_the_checkout(tmp_path / "sources"), tmp_path)
    with tarfile.open(archive) as tar:
        assert all(member.isfile() or member.isdir() for member in tar)
        tar.extractall(tmp_path / "unpacked", filter="data")
    (sources,) = (tmp_path / "unpacked").iterdir()
    assert names_in(built_wheel(sources, tmp_path)) == names_in(wheel)


def assert_it_scores(programs: Path, folder: Path, url: str) -> None:
    """score, info and bench, as programs and as modules, which see the working directory."""
    for command in ([programs / "rewright"], [programs / "python", "-m", "rewright.clients.cli.main"]):
        scored = ran(*command, "score", "groups.jsonl", "--url", url, cwd=folder)
        assert scored.returncode == 0, scored.stderr
        assert [json.loads(line)["id"] for line in scored.stdout.splitlines()] == [group["id"] for group in GROUPS]
    info = ran(programs / "rewright", "info", url, cwd=folder)
    assert info.returncode == 0 and "version" in json.loads(info.stdout), info.stderr
    bench = ran(programs / "rewright", "bench", url, "--requests", "3", cwd=folder)
    assert bench.returncode == 0 and "200 3" in bench.stdout, bench.stderr


def test_the_base_alone_scores_beside_files_of_the_user(base, users_folder, server):
    for absent in ("fastapi", "torch", "pydantic_settings", "yaml"):
        assert ran(base / "python", "-c", f"import {absent}", cwd=users_folder).returncode == 1, absent
    assert_it_scores(base, users_folder, server.url)
    code = "from rewright.clients.adapters.trl import RewardFunction"
    assert ran(base / "python", "-c", code, cwd=users_folder).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["serve"], "service"),
        (["judge-eval", "groups.jsonl"], "service"),
        (["judge-fit", "groups.jsonl"], "service"),
        (["train", "grpo", "--config", "grpo-small-cpu"], "trainer"),
        (["train", "sft", "--config", "sft-small-cpu"], "trainer"),
        (["build", "--config", "build-small-cpu"], "trainer"),
        (["evaluate", "--config", "evaluate-small-cpu"], "trainer"),
        (["pipeline", "--config", "pipeline-demo"], "trainer"),
        (["audit", "groups.jsonl"], "trainer"),
    ],
)
def test_a_command_without_its_extra_says_what_to_install(base, users_folder, arguments, extra):
    shown = ran(base / "rewright", *arguments, cwd=users_folder)
    assert shown.returncode == 2 and shown.stdout == ""
    assert f"pip install 'rewright[{extra}]'" in shown.stderr and len(shown.stderr.splitlines()) == 1, shown.stderr


def test_the_service_as_a_module_says_so_too(base, users_folder):
    shown = ran(base / "python", "-m", "rewright.service", cwd=users_folder)
    assert shown.returncode == 2 and shown.stdout == ""
    assert "pip install 'rewright[service]'" in shown.stderr and len(shown.stderr.splitlines()) == 1, shown.stderr


def test_help_needs_no_extra(base, users_folder):
    shown = ran(base / "rewright", "--help", cwd=users_folder)
    assert shown.returncode == 0 and all(command in shown.stdout for command in ("score", "serve", "train"))


@pytest.mark.parametrize(
    ("version", "options"),
    [("3.11", ["--resolution=lowest-direct"]), ("3.12", []), ("3.13", [])],
    ids=["lowest versions", "3.12", "3.13"],
)
def test_the_base_installs_and_scores_on_every_python(wheel, users_folder, server, version, options):
    """From the package index; 3.11 with the oldest versions that we say will do."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} is on the PATH or kept by pyenv: install one to try the wheel on it")
    uv = INSTALLER.found_uv()
    if uv is None:
        pytest.skip("uv is not in this environment, which makes the other Python's")
    programs = users_folder / "environment" / "bin"
    assert ran(uv, "venv", "-q", "--python", python, programs.parent, cwd=users_folder).returncode == 0
    install = [uv, "pip", "install", "-q", "--python", programs / "python", *options, wheel]
    installed = ran(*install, cwd=users_folder, environment=uv_environment())
    if "Failed to fetch" in installed.stderr:
        pytest.skip("the package index, which the other Python needs its packages from, cannot be reached")
    assert installed.returncode == 0, installed.stderr
    assert_it_scores(programs, users_folder, server.url)
