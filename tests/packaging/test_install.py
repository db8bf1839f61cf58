"""The script that `make` installs with: what uv is told, which torch is taken, and pip in its place."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.live_server import ROOT
from tests.packaging.installer import INSTALLER

WITHOUT_CUDA = INSTALLER.Plan(True, " + filelock==4.3.1\n + torch==2.13.0+cpu\n")
WITH_CUDA = INSTALLER.Plan(True, " + cuda-toolkit==13.0.3.0\n + nvidia-cublas==13.1.1.3\n + torch==2.13.0\n")
NONE = INSTALLER.Plan(False, "error: no such thing")


def test_settings_of_pip_are_read_and_the_environment_wins():
    told = {
        "global.find-links": "everybody's",
        "global.index-url": "everybody's",
        "install.index-url": "the installer's",
        ":env:.find-links": "mine and yours",
        "user.email": "nothing to do with it",
    }
    listed = "\n".join(f"{name}={value!r}" for name, value in told.items())
    assert INSTALLER.pip_settings(listed) == {"find-links": "mine and yours", "index-url": "the installer's"}


def test_what_pip_really_lists_is_read(tmp_path):
    (tmp_path / "pip.conf").write_text("[global]\nextra-index-url =\n  https://a.example/simple\n  https://b.example\n")
    listed = subprocess.run(
        [*INSTALLER.PIP, "config", "list"],
        env={"PATH": os.defpath, "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PIP_FIND_LINKS": "/wheels"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    settings = INSTALLER.pip_settings(listed)
    assert settings["find-links"] == "/wheels"
    assert settings["extra-index-url"].split() == ["https://a.example/simple", "https://b.example"]


def test_uv_is_told_what_pip_is_told():
    settings = {
        "find-links": "mine yours",
        "index-url": "https://index.example/simple",
        "extra-index-url": "\nhttps://a.example\nhttps://b.example",
        "trusted-host": "index.example",
        "cert": "/certificates.pem",
        "timeout": "180",
    }
    assert INSTALLER.uv_variables(settings, {}) == {
        "UV_FIND_LINKS": "mine,yours",
        "UV_DEFAULT_INDEX": "https://index.example/simple",
        "UV_INDEX": "https://a.example https://b.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "index.example",
        "SSL_CERT_FILE": "/certificates.pem",
    }


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_uvs_own_variables_stay(variable):
    settings = {"index-url": "https://index.example/simple", "find-links": "/wheels"}
    assert INSTALLER.uv_variables(settings, {variable: "https://own.example"}) == {"UV_FIND_LINKS": "/wheels"}


@pytest.mark.parametrize(
    ("as_it_is", "by_backend", "gpu", "options"),
    [
        (WITHOUT_CUDA, NONE, False, []),
        (WITHOUT_CUDA, WITH_CUDA, True, []),
        (WITH_CUDA, WITHOUT_CUDA, False, ["--torch-backend=auto"]),
        (WITH_CUDA, WITH_CUDA, True, ["--torch-backend=auto"]),
        (NONE, WITHOUT_CUDA, False, ["--torch-backend=auto"]),
        (WITH_CUDA, NONE, True, []),
    ],
)
def test_torch_fits_the_machine(as_it_is, by_backend, gpu, options):
    def plan(*given):
        return by_backend if given else as_it_is

    assert INSTALLER.torch_options(plan, gpu=gpu, chosen=False) == options


@pytest.mark.parametrize("as_it_is", [WITH_CUDA, NONE])
def test_nobody_without_a_gpu_gets_cuda(as_it_is):
    with pytest.raises(INSTALLER.NoFittingTorch, match="no such thing"):
        INSTALLER.torch_options(lambda *given: NONE if given else as_it_is, gpu=False, chosen=False)
    assert not INSTALLER.pip_takes_no_cuda("torch==2.13.0", "torch (2.14.1)\nAvailable versions: 2.14.1, 2.13.0")
    assert INSTALLER.pip_takes_no_cuda("torch==2.13.0", "torch (2.14.1)\nAvailable versions: 2.14.1, 2.13.0+cpu")


def test_who_names_a_backend_gets_it():
    assert INSTALLER.torch_options(lambda *given: WITH_CUDA, gpu=False, chosen=True) == []
    with pytest.raises(INSTALLER.NoFittingTorch):
        INSTALLER.torch_options(lambda *given: NONE, gpu=False, chosen=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A project of one empty package with our script, an environment without uv, and pip kept from every index."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "install.py", tmp_path / ".ci")
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / ".venv"], check=True)
    for variable in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return tmp_path


def test_pip_takes_uvs_place_and_refuses_what_does_not_fit(checkout):
    shown = subprocess.run(
        [checkout / ".venv" / "bin" / "python", checkout / ".ci" / "install.py", "service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1 and "Traceback" not in shown.stderr
    if sys.platform == "linux" and not INSTALLER.has_gpu():
        assert "uv" in shown.stderr and "make test-without-torch" in shown.stderr
    else:
        assert "installing rewright[service] with pip failed" in shown.stderr


def test_the_makefile_and_the_script_mean_the_same_packages():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    pins = set((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    for variable, packages in (("TORCH", ("torch",)), ("MODELS", INSTALLER.MODELS)):
        (line,) = [line for line in makefile.splitlines() if line.startswith(f"{variable} := ")]
        named = line.removeprefix(f"{variable} := ").split()
        assert [pin.split("==")[0] for pin in named] == list(packages) and set(named) <= pins


def test_constraints_name_no_host_and_no_build():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if "://" in line or "+" in line or line.startswith(("-", "nvidia", "cuda"))]
