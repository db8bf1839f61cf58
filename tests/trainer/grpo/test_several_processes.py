"""Stage I on two processes, as accelerate's shipped configurations start it: the training of one process, in two."""

import json
import os
import signal

import pytest
from safetensors.torch import load_file

from rewright.trainer.runs.whole_checkpoint import what_is_missing
from tests.live_server import free_port
from tests.trainer.launched import launched
from tests.trainer.service_process import killable_service
from tests.trainer.tiny_run import write_parts, write_recipe
from tests.waiting import PATIENCE_S, until
from tests.warm_process import WarmProcess

MODULE = "tests.trainer.drawn_by_prompt"
STEPS = 2
CUT = {"CUT_ON_CPU": "1", "PLAIN_ROLLOUTS": "1"}


@pytest.fixture(scope="module")
def service():
    with killable_service(free_port()) as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory, service):
    return write_parts(tmp_path_factory.mktemp("parts"), service.url)


def recipe_of(output, parts, **blocks):
    blocks = {"training": {"max_steps": STEPS}, "watch": {"problems": 0}} | blocks
    return write_recipe(output.parent / "recipe.yaml", output=output, **parts, **blocks)


def of_one_process(folder, parts, **environment):
    output = folder / "one" / "run"
    output.parent.mkdir()
    process = WarmProcess(
        MODULE,
        "grpo",
        "--config",
        recipe_of(output, parts),
        environment=os.environ | environment,
        output=folder / "said",
    )
    assert process.wait(PATIENCE_S) == 0, (folder / "said").read_text()
    return output


def ended(processes, said):
    codes = [process.wait(PATIENCE_S) for process in processes]
    return codes, "".join(said.with_name(f"{said.name}-{rank}").read_text() for rank in range(2))


def rewards(output):
    rows = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [row["reward"] for row in rows if "reward" in row]


def apart(one, other):
    """The difference of two adapters, over the length of what was trained: B begins at zero."""
    right, found = (load_file(each / "adapter" / "adapter_model.safetensors") for each in (one, other))
    assert right.keys() == found.keys()
    moved = sum(float(weight.square().sum()) for name, weight in right.items() if "lora_B" in name)
    return (sum(float((found[name] - weight).square().sum()) for name, weight in right.items()) / moved) ** 0.5


def killed_after_its_first_step(configuration, recipe, output, service, said, **environment):
    """Both processes, while they wait for the rewards of the second step; then nothing holds the service."""
    written = [output / "checkpoint-1" / name for name in ("trainer_state.json", "rng_state_0.pth", "rng_state_1.pth")]
    service.hold_once(written[0])
    processes = launched(configuration, "grpo", "--config", recipe, output=said, module=MODULE, environment=environment)
    until(lambda: all(file.exists() for file in written) or any(p.poll() is not None for p in processes))
    for process in processes:
        process.kill()
    codes, text = ended(processes, said)
    assert codes == [-signal.SIGKILL] * 2, text
    service.go_on()


def test_two_processes_killed_and_resumed_make_the_adapter_of_one(parts, service, tmp_path):
    one = of_one_process(tmp_path, parts)
    output, said = tmp_path / "two" / "run", tmp_path / "two" / "said"
    output.parent.mkdir()
    recipe = recipe_of(output, parts)
    killed_after_its_first_step("ddp", recipe, output, service, said)
    asked = service.asked()
    codes, text = ended(launched("ddp", "grpo", "--config", recipe, output=said, module=MODULE), said)
    assert codes == [0, 0], text
    assert text.count("going on from checkpoint-1") == 2
    # Each looks whether the service answers, and the second step has two groups.
    assert service.asked() - asked == 2 + 2
    # A reward is that of the whole group: torn ones would fail, or have another diversity.
    assert rewards(output) == pytest.approx(rewards(one), abs=1e-6)
    # float32 sums in another order, and Adam makes steps of one size of gradients of any; 6e-6 was seen.
    assert apart(one, output) < 1e-4
    assert len(json.loads((output / "provenance.json").read_text())) == 2


@pytest.mark.slow
def test_weights_that_are_cut_over_two_processes_make_the_adapter_of_one(parts, service, tmp_path):
    one = of_one_process(tmp_path, parts, PLAIN_ROLLOUTS="1")
    output, said = tmp_path / "two" / "run", tmp_path / "two" / "said"
    output.parent.mkdir()
    recipe = recipe_of(output, parts)
    killed_after_its_first_step("fsdp2", recipe, output, service, said, **CUT)
    assert (output / "checkpoint-1" / "pytorch_model_fsdp_0" / ".metadata").is_file()
    codes, text = ended(
        launched("fsdp2", "grpo", "--config", recipe, output=said, module=MODULE, environment=CUT), said
    )
    assert codes == [0, 0], text
    assert text.count("going on from checkpoint-1") == 2
    assert rewards(output) == pytest.approx(rewards(one), abs=1e-5)
    assert apart(one, output) < 1e-3


@pytest.mark.slow
def test_a_service_that_stays_away_ends_both_processes_with_a_checkpoint(parts, service, tmp_path):
    output, said = tmp_path / "two" / "run", tmp_path / "two" / "said"
    output.parent.mkdir()
    changes = {"reward": {"patience_s": 3}, "training": {"max_steps": 500}, "keeping": {"save_steps": 500}}
    processes = launched("ddp", "grpo", "--config", recipe_of(output, parts, **changes), output=said)
    until(lambda: any((output / "runs").rglob("events.out.tfevents.*")))
    asked = service.asked()
    until(lambda: service.asked() > asked + 4)
    service.kill()
    codes, text = ended(processes, said)
    service.start()
    assert codes == [1, 1], text
    (checkpoint,) = output.glob("checkpoint-*")
    assert what_is_missing(checkpoint) is None
    assert text.count("Run the same command again to go on from there") == 2 and "Traceback" not in text
