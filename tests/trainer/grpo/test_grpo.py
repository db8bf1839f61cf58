"""Stage I with TRL's real trainer on a tiny random model, rewarded by the real app over HTTP, killed and resumed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.live_server import free_port
from tests.trainer.launched import CONFIGURATIONS
from tests.trainer.service_process import killable_service
from tests.trainer.tiny_run import write_parts, write_recipe
from tests.waiting import PATIENCE_S, until
from tests.warm_process import WarmProcess

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def service():
    with killable_service(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory, service):
    return write_parts(tmp_path_factory.mktemp("parts"), service.url)


def run(recipe_file, **options):
    from rewright.trainer.grpo.train import train
    from rewright.trainer.recipes.grpo import load_recipe

    return train(load_recipe(recipe_file), **options)


def history(output):
    rows = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [row for row in rows if "reward" in row]


def looks(output):
    return [json.loads(line) for line in (output / "watch.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def unbroken(parts, tmp_path_factory):
    """Four steps in one go."""
    output = tmp_path_factory.mktemp("unbroken") / "run"
    recipe = write_recipe(output.parent / "recipe.yaml", output=output, **parts)
    assert run(recipe) == output / "adapter"
    return output


def test_a_run_leaves_an_adapter_that_moved_a_card_plots_and_a_log(unbroken):
    rows = history(unbroken)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["rewright/yield"] > 0 and row["rewright/without_reward"] == 0 for row in rows)
    assert any(row["frac_reward_zero_std"] < 1 for row in rows)
    weights = load_file(unbroken / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith("lora_B.weight") and w.abs().max() > 0 for name, w in weights.items())
    layers = {name.split(".")[-3] for name in weights}
    assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    card = (unbroken / "adapter" / "README.md").read_text()
    (start,) = json.loads((unbroken / "provenance.json").read_text())
    for recorded in (start["data_hash"]["stage_one"], "plain-nll", "prompts_per_step: 2", "library_name: peft"):
        assert recorded in card
    for name in ("reward", "yield", "nll", "diversity"):
        assert (unbroken / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert list((unbroken / "runs").rglob("events.out.tfevents.*"))


def test_a_run_looks_at_problems_that_it_is_not_trained_on(unbroken):
    rows = looks(unbroken)
    assert [(row["step"], row["problems"]) for row in rows] == [(0, 2), (2, 2), (4, 2)]
    assert all(0 <= row["yield"] <= 1 and row["nll"] > 0 and row["length_ratio"] > 0 for row in rows)
    logged = {row["step"]: row for row in history(unbroken) if "watch/yield" in row}
    assert sorted(logged) == [2, 4]
    assert logged[2]["watch/nll"] == pytest.approx(rows[1]["nll"])
    assert "## Watched" in (unbroken / "adapter" / "README.md").read_text()
    assert (unbroken / "plots" / "watch.png").read_bytes().startswith(b"\x89PNG")
    assert (unbroken / "best").exists() == ("Kept in `best/`" in (unbroken / "adapter" / "README.md").read_text())


@pytest.mark.slow
def test_the_best_adapter_can_be_used_before_the_run_has_ended(parts, tmp_path):
    from rewright.trainer.models.rewriter import load_rewriter

    output = tmp_path / "run"
    recipe = write_recipe(
        tmp_path / "recipe.yaml", output=output, watch={"every": 1}, training={"max_steps": 500}, **parts
    )
    process = WarmProcess("rewright.trainer", "grpo", "--config", recipe)
    until((output / "best" / "why.json").exists)
    process.kill()
    process.wait()
    assert "## Watched" in (output / "best" / "README.md").read_text()
    assert load_rewriter(output / "best").distance_from_backbone() > 0


def test_the_adapter_loads_again_and_rewrites(unbroken):
    from rewright.trainer.models.rewriter import load_rewriter

    rewriter = load_rewriter(unbroken / "adapter")
    assert rewriter.distance_from_backbone() > 0
    assert isinstance(rewriter.rewrite("What is 1 plus 1?", "It is \\boxed{2}.", max_tokens=4), str)


def test_killed_with_its_service_and_resumed_it_ends_where_an_unbroken_run_ends(parts, service, unbroken, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **parts)
    service.hold_once(output / "checkpoint-2" / "trainer_state.json")
    process = WarmProcess("rewright.trainer", "grpo", "--config", recipe)
    until((output / "checkpoint-2" / "trainer_state.json").exists)
    process.kill()
    process.wait()
    service.kill()
    assert not (output / "adapter").exists()
    service.start()
    run(recipe)
    assert [row["step"] for row in history(output)] == [1, 2, 3, 4]
    assert [row["reward"] for row in history(output)] == pytest.approx([row["reward"] for row in history(unbroken)])
    expected = load_file(unbroken / "adapter" / "adapter_model.safetensors")
    found = load_file(output / "adapter" / "adapter_model.safetensors")
    assert expected.keys() == found.keys()
    assert all((expected[name] - found[name]).abs().max() < 1e-6 for name in expected)
    assert len(json.loads((output / "provenance.json").read_text())) == 2
    assert looks(output) == [pytest.approx(row, rel=1e-3) for row in looks(unbroken)]


def test_killed_behind_its_last_step_it_takes_no_further_one(parts, unbroken, tmp_path):
    output = tmp_path / "run"
    shutil.copytree(unbroken, output)
    shutil.rmtree(output / "adapter")
    shutil.rmtree(output / "plots")
    run(write_recipe(tmp_path / "recipe.yaml", output=output, **parts))
    assert [row["step"] for row in history(output)] == [1, 2, 3, 4]
    assert "## Watched" in (output / "adapter" / "README.md").read_text()
    assert (output / "plots" / "watch.png").exists()
    name = "adapter_model.safetensors"
    expected, found = load_file(unbroken / "adapter" / name), load_file(output / "adapter" / name)
    assert all(expected[key].equal(found[key]) for key in expected.keys() | found.keys())


def test_told_to_stop_it_finishes_its_step_and_goes_on_from_there(parts, service, unbroken, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, keeping={"save_steps": 100}, **parts)
    said = tmp_path / "said"
    service.hold_once(said, "1/4")
    process = WarmProcess("rewright.trainer", "grpo", "--config", recipe, output=said)
    until(lambda: said.exists() and "1/4" in said.read_text())
    process.send_signal(signal.SIGTERM)
    service.go_on()
    assert process.wait(PATIENCE_S) == 143
    assert "Run the same command again" in said.read_text() and "Traceback" not in said.read_text()
    (checkpoint,) = output.glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-2" and not (output / "adapter").exists()
    run(recipe)
    assert [row["reward"] for row in history(output)] == pytest.approx([row["reward"] for row in history(unbroken)])


def test_while_the_service_is_away_training_waits_and_then_goes_on(parts, service, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **parts)
    ended = []
    service.hold_once(output / "checkpoint-2" / "trainer_state.json")
    thread = threading.Thread(target=lambda: ended.append(run(recipe)))
    thread.start()
    until((output / "checkpoint-2" / "trainer_state.json").exists)
    service.kill()
    service.turn_away(3)
    assert thread.is_alive() and not (output / "checkpoint-3").exists()
    service.start()
    thread.join(PATIENCE_S)
    assert ended == [output / "adapter"] and [row["step"] for row in history(output)] == [1, 2, 3, 4]
    assert all(row["rewright/without_reward"] == 0 for row in history(output))


def test_a_service_away_for_longer_than_the_patience_ends_the_run_with_a_checkpoint(parts, service, tmp_path):
    from rewright.trainer.errors import ServiceTrouble

    output = tmp_path / "run"
    changes = {"reward": {"patience_s": 3}, "training": {"max_steps": 500}, "keeping": {"save_steps": 500},
               "watch": {"problems": 0}}  # fmt: skip
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **changes, **parts)
    said = []

    def train():
        with pytest.raises(ServiceTrouble) as trouble:
            run(recipe)
        said.append(str(trouble.value))

    thread = threading.Thread(target=train)
    thread.start()
    until(lambda: any((output / "runs").rglob("events.out.tfevents.*")))
    asked = service.asked()
    until(lambda: service.asked() > asked + 2)  # its two groups a step: the first step has had its rewards
    service.kill()
    thread.join(PATIENCE_S)
    service.start()
    (message,) = said
    (checkpoint,) = output.glob("checkpoint-*")
    assert f"step {checkpoint.name.removeprefix('checkpoint-')}" in message and "again" in message
    assert (checkpoint / "trainer_state.json").is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"corpus": {"sources": [{"path": "absent.jsonl"}]}}, "no file 'absent.jsonl'"),
        ({"corpus": {"sources": [{"path": "PROBLEMS", "answer": "gold"}]}}, "'gold'"),
        ({"backbone": {"model": "./nowhere"}}, "no folder './nowhere'"),
        ({"prompt": {"file": "absent"}}, "the prompt 'absent'"),
        ({"training": {"micro_batch": 3}}, "training.micro_batch"),
        ({"training": {"prompts_per_step": 200, "micro_batch": 8}}, "fewer than training.prompts_per_step"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(parts, tmp_path, capsys, changes, said):
    text = json.dumps(changes).replace("PROBLEMS", str(parts["problems"]))
    recipe = write_recipe(tmp_path / "recipe.yaml", output=tmp_path / "run", **json.loads(text), **parts)
    assert command("--config", str(recipe)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.rglob("checkpoint-*"))


def command(*arguments):
    import argparse

    from rewright.trainer.commands.train import add

    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    options = parser.parse_args(["train", "grpo", *arguments])
    return options.run(options)


def test_the_environment_of_ranks_is_checked_before_anything_else(monkeypatch, parts, tmp_path, capsys):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "3")
    recipe = write_recipe(tmp_path / "recipe.yaml", output=tmp_path / "run", **parts)
    assert command("--config", str(recipe)) == 2
    assert "3 processes" in capsys.readouterr().err


def test_two_runs_never_train_in_one_folder(parts, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, training={"max_steps": 500}, **parts)
    grpo = [sys.executable, "-m", "rewright.trainer", "grpo", "--config", str(recipe)]
    with subprocess.Popen(grpo, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        try:
            until((output / ".holder.json").exists)
            second = subprocess.run(grpo, cwd=ROOT, capture_output=True, text=True, check=False)
        finally:
            first.kill()
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert f"another training run is at work in {output} (process {first.pid} on" in second.stderr


@pytest.mark.slow
def test_accelerate_launches_two_ranks_that_train_and_resume(parts, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **parts)
    for steps in (2, 4):
        ranks = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", CONFIGURATIONS / "ddp.yaml",
                 "--num_processes", "2", "-m", "rewright.trainer", "grpo"]  # fmt: skip
        subprocess.run(
            [*ranks, "--config", str(recipe), "--set", f"training.max_steps={steps}"], cwd=ROOT, check=True, timeout=200
        )
    assert [row["step"] for row in history(output)] == [1, 2, 3, 4]
    assert [row["step"] for row in looks(output)] == [0, 2, 4]
