"""One process at a time in a run folder, told to the second one; what a killed one leaves is in nobody's way."""

import json
import re

import pytest

from rewright.trainer.build.folder import BuildFolder
from rewright.trainer.data.whole_files import read_json, write_json
from rewright.trainer.errors import RunFolderError
from rewright.trainer.evaluate.folder import EvaluateFolder
from rewright.trainer.pipeline.steps import Steps
from rewright.trainer.recipes.grpo import load_recipe
from rewright.trainer.runs.train_folder import RunFolder
from tests.trainer.holding import held_elsewhere

KINDS = [BuildFolder, EvaluateFolder, RunFolder, Steps]


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_process_is_refused_by_the_name_of_the_first_until_that_is_killed(tmp_path, kind):
    folder = kind(tmp_path / "run")
    with held_elsewhere(kind, folder.path) as process:
        said = (
            rf"another {kind.kind} is at work in {re.escape(str(folder.path))} \(process {process.pid} on .+, since 20"
        )
        with pytest.raises(RunFolderError, match=said), folder.lock():
            pass
        process.kill()
        process.wait()
        with folder.lock():
            assert json.loads((folder.path / ".holder.json").read_text())["process"] != process.pid
    with folder.lock():
        pass
    assert not (folder.path / ".holder.json").exists()


def test_one_that_ends_lets_go(tmp_path):
    with held_elsewhere(RunFolder, tmp_path / "run") as process:
        process.communicate("done\n")
        with RunFolder(tmp_path / "run").lock():
            pass


def test_of_several_ranks_the_first_holds_the_folder_for_all(tmp_path):
    recipe = load_recipe("grpo-small-cpu")
    folder = RunFolder(tmp_path / "run")
    with held_elsewhere(RunFolder, folder.path), folder.claimed(recipe, resume=True, first_rank=False):
        assert not (folder.path / "recipe.yaml").exists()
    with folder.claimed(recipe, resume=True, first_rank=True):
        with pytest.raises(RunFolderError, match="another training run"), folder.lock():
            pass
        assert load_recipe(folder.path / "recipe.yaml") == recipe


def test_a_folder_that_a_killed_process_had_only_begun_may_be_used(tmp_path):
    for name in (".lock", ".holder.json.unfinished", "recipe.yaml.unfinished"):
        (tmp_path / name).write_text("")
    with RunFolder(tmp_path).claimed(load_recipe("grpo-small-cpu"), resume=True, first_rank=True):
        pass


@pytest.mark.parametrize("kind", [EvaluateFolder, RunFolder])
def test_other_peoples_files_get_no_lock_beside_them(tmp_path, kind):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=f"holds no {kind.kind}"), kind(tmp_path).lock():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(RunFolderError, match=r"keeping\.output: cannot write"),
        BuildFolder(tmp_path / "file" / "x").lock(),
    ):
        pass


def test_json_is_never_seen_half_written(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"a": 1})
    with pytest.raises(TypeError):
        write_json(file, {"a": object()})
    assert read_json(file) == {"a": 1} and list(tmp_path.iterdir()) == [file]
    file.write_text("[]")
    with pytest.raises(RunFolderError, match="not what was written"):
        read_json(file)
