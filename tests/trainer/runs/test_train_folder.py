"""Whose folder it is, and which checkpoint is whole."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from rewright.trainer.errors import RunFolderError
from rewright.trainer.recipes.grpo import load_recipe
from rewright.trainer.runs.final_weights import save_final_weights
from rewright.trainer.runs.resuming import train_to_the_end
from rewright.trainer.runs.train_folder import RunFolder
from rewright.trainer.runs.whole_checkpoint import DEEPSPEED, FULL, SHARDED, WHOLE, cuts_as, how_cut


def recipe(*changes):
    return load_recipe("grpo-small-cpu", changes)


def checkpoint(folder, step, *, without=None):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt"):
        (path / name).write_bytes(b"x")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    if without == "half a state":
        (path / "trainer_state.json").write_text('{"global_st')
    elif without:
        (path / without).unlink()


@pytest.mark.parametrize("lost", ["trainer_state.json", "half a state", "optimizer.pt", "adapter_model.safetensors"])
def test_a_checkpoint_cut_short_is_passed_over(tmp_path, lost):
    checkpoint(tmp_path, 9)
    checkpoint(tmp_path, 10, without=lost)
    last = RunFolder(tmp_path).last_checkpoint()
    assert last is not None and last.name == "checkpoint-9"


def test_the_newest_is_by_number_and_none_is_none(tmp_path):
    assert RunFolder(tmp_path / "absent").last_checkpoint() is None
    for step in (2, 10, 9):
        checkpoint(tmp_path, step)
    assert RunFolder(tmp_path).last_checkpoint().name == "checkpoint-10"


CUT = {
    "FSDP, full": ["optimizer.bin", "scheduler.pt", "pytorch_model_fsdp.bin"],
    "FSDP, sharded": ["optimizer_0/.metadata", "pytorch_model_fsdp_0/.metadata", "scheduler.pt"],
    "FSDP, an adapter": ["optimizer_0/.metadata", "adapter_model.safetensors", "scheduler.pt"],
    "DeepSpeed": ["latest", "global_step10/zero_pp_rank_0_mp_rank_00_optim_states.pt"],
}


def cut_checkpoint(folder, names):
    path = folder / "checkpoint-10"
    for name in [*names, "trainer_state.json"]:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("global_step10" if name == "latest" else '{"global_step": 10}')


@pytest.mark.parametrize("how", CUT)
def test_weights_that_are_cut_over_processes_make_whole_checkpoints_too(tmp_path, how):
    cut_checkpoint(tmp_path, CUT[how])
    assert RunFolder(tmp_path).last_checkpoint().name == "checkpoint-10"


@pytest.mark.parametrize(("how", "lost"), [(how, name) for how, names in CUT.items() for name in names])
def test_a_part_that_another_process_did_not_finish_is_missed_and_said(tmp_path, caplog, how, lost):
    cut_checkpoint(tmp_path, [name for name in CUT[how] if name != lost])
    assert RunFolder(tmp_path).last_checkpoint() is None
    assert "checkpoint-10 is passed over, since" in caplog.text
    assert "of 1 checkpoints in" in caplog.text and "nothing is left to go on from" in caplog.text


def trainer_of(way):
    plugin = SimpleNamespace(state_dict_type="FULL_STATE_DICT" if way == FULL else "SHARDED_STATE_DICT")
    return SimpleNamespace(
        is_deepspeed_enabled=way == DEEPSPEED,
        is_fsdp_enabled=way in {FULL, SHARDED},
        accelerator=SimpleNamespace(state=SimpleNamespace(fsdp_plugin=plugin)),
    )


@pytest.mark.parametrize("now", [WHOLE, FULL, SHARDED, DEEPSPEED])
@pytest.mark.parametrize(
    ("how", "before"),
    [("FSDP, full", FULL), ("FSDP, sharded", SHARDED), ("FSDP, an adapter", SHARDED), ("DeepSpeed", DEEPSPEED)],
)
def test_a_checkpoint_that_was_cut_otherwise_is_refused_before_it_is_read(tmp_path, how, before, now):
    cut_checkpoint(tmp_path, CUT[how])
    made = tmp_path / "checkpoint-10"
    assert (how_cut(made), cuts_as(trainer_of(now))) == (before, now)
    if before != now:
        with pytest.raises(RunFolderError, match="with the accelerate configuration that it began with"):
            train_to_the_end(trainer_of(now), made)


def test_one_process_reads_its_own_checkpoint(tmp_path):
    checkpoint(tmp_path, 10)
    assert how_cut(tmp_path / "checkpoint-10") == cuts_as(trainer_of(WHOLE)) == WHOLE


def test_an_end_without_weights_is_no_end(tmp_path):
    silent = SimpleNamespace(is_fsdp_enabled=False, save_model=Path, is_world_process_zero=lambda: True)
    with pytest.raises(RunFolderError, match="zero3_save_16bit_model: true"):
        save_final_weights(silent, tmp_path / "model")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def test_a_run_goes_on_in_its_folder_even_with_another_address_or_end(folder):
    folder.claim(recipe(), resume=True)
    folder.claim(
        recipe("reward.base_urls=http://other:1", "training.max_steps=99", "keeping.save_steps=7"), resume=True
    )


@pytest.mark.parametrize(
    ("changes", "resume", "said"),
    [
        (["training.learning_rate=0.1"], True, "training.learning_rate was 1e-05, is 0.1"),
        (["reward.variant=soft"], True, "reward.variant was 'full'"),
        ([], False, "holds a run already"),
    ],
)
def test_another_run_is_refused(folder, changes, resume, said):
    folder.claim(recipe(), resume=True)
    checkpoint(folder.path, 1)
    with pytest.raises(RunFolderError, match=said):
        folder.claim(recipe(*changes), resume=resume)


def test_other_peoples_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    folder = RunFolder(tmp_path)
    with (
        pytest.raises(RunFolderError, match="holds no training run"),
        folder.claimed(recipe(), resume=True, first_rank=True),
    ):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_recipe_that_came_to_nothing_may_be_fixed(folder):
    folder.claim(recipe("reward.variant=soft"), resume=True)
    folder.claim(recipe(), resume=True)
    assert load_recipe(folder.path / "recipe.yaml") == recipe()
