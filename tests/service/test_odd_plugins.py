"""Plug-ins that are wrong in ways of their own: each is named at the start, or fails items, and never a request."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rewright.service.schema import DiversityGroup, ScalarScored
from rewright.service.scorers.spec import ScorerSettings, ScorerSpec
from tests.service.plugin_package import ROOT, files_of_contributing, installed, rewritten


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("plugin"), files_of_contributing())


def started(site: Path, folder: Path, change: tuple[str, str]) -> "subprocess.CompletedProcess[str]":
    """The service with CONTRIBUTING's plug-in changed so, which must end it."""
    code = files_of_contributing()["rewright_variety.py"]
    assert change[0] in code
    path = f"{rewritten(site, folder, code.replace(*change))}{os.pathsep}{ROOT}"
    return subprocess.run(
        [sys.executable, "-m", "rewright.service"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "REWRIGHT_ONLY": "variety"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("    return Variety(building.settings)", "    raise RuntimeError('no licence')"), "no licence"),
        (
            ("    def describe(self)", "    async def open(self):\n        1 / 0\n\n    def describe(self)"),
            "ZeroDivision",
        ),
        (("settings=VarietySettings", "settings=dict"), "settings must be ScorerSettings"),
        (('name="variety"', 'name="local"'), "cannot be a scorer's name"),
        (("import re\n", "import re\nimport sys\nsys.exit(3)\n"), "SystemExit"),
        (("cacheable=True", "cacheable=True, options=('speed',)"), "no option 'speed'"),
    ],
)
def test_it_is_named_at_the_start(site, tmp_path, change, told):
    ended = started(site, tmp_path, change)
    assert ended.returncode == 2, ended.stderr
    assert "scorers.variety" in ended.stderr and told in ended.stderr
    assert "Traceback" not in ended.stderr


def spec(**changes: object) -> ScorerSpec:
    given = {"name": "odd", "summary": "s", "build": lambda building: None, **changes}
    return ScorerSpec(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"name": "model_dump"}, "cannot be a scorer's name"),
        ({"name": "copy"}, "cannot be a scorer's name"),
        ({"name": "Two words"}, "cannot be a scorer's name"),
        ({"needs": ("question",)}, "no field 'question'"),
        ({"reads": ("feasible",)}, "reads may name"),
        ({"group": DiversityGroup, "cacheable": True}, "cannot be remembered"),
    ],
)
def test_a_spec_that_cannot_work_is_refused(changes, told):
    with pytest.raises(ValueError, match=told):
        spec(**changes)


def test_a_spec_of_one_number_is_complete_by_itself():
    made = spec(settings=ScorerSettings)
    assert made.scalar and made.item is ScalarScored
    assert made.group.__name__ == "OddGroup" and made.answer.__name__ == "OddAnswer"
