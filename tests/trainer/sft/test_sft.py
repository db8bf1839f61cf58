"""Downstream SFT with TRL's real trainer on a tiny random model: what the loss falls on, resuming, bad input."""

import argparse
import asyncio
import csv
import dataclasses
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.service.scorers.tiny_models import (
    NO_HEADER_AND_A_LEADING_SPACE,
    THINKING_IN_THE_GENERATION_PROMPT_ALONE,
    THINKING_IN_THE_LAST_TURN,
    TRIMS_AND_PRINTS_THE_DATE,
    tiny_tokenizer,
)
from tests.trainer.holding import held_elsewhere
from tests.trainer.launched import launched
from tests.trainer.tiny_dataset import write_dataset
from tests.trainer.tiny_run import write_backbone
from tests.waiting import PATIENCE_S
from tests.warm_process import WarmProcess

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sft-parts")
    return {"model": write_backbone(folder / "model"), "data": write_dataset(folder / "build")}


def write_recipe(file, *, model, data, output, **blocks):
    content = {
        "kind": "sft",
        "backbone": {"model": str(model), "device": "cpu", "precision": "float32"},
        "data": {"path": str(data), "max_tokens": 300},
        "lora": {"r": 4, "alpha": 8},
        "training": {"batch": 8, "micro_batch": 4, "learning_rate": 1e-2, "gradient_checkpointing": False},
        "keeping": {"output": str(output), "save_steps": 1, "checkpoints": 9},
    }
    for name, changes in blocks.items():
        content[name] = changes if changes is None else (content[name] or {}) | changes
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def command(*arguments):
    from rewright.trainer.commands.train import add

    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    options = parser.parse_args(["train", "sft", *map(str, arguments)])
    return options.run(options)


def losses(output):
    return [row["loss"] for row in json.loads((output / "loss.json").read_text())]


@pytest.fixture(scope="module")
def unbroken(parts, tmp_path_factory):
    output = tmp_path_factory.mktemp("sft-unbroken") / "run"
    recipe = write_recipe(output.parent / "recipe.yaml", output=output, **parts)
    assert command("--config", recipe) == 0
    return output


def test_a_lora_run_leaves_an_adapter_a_falling_loss_curve_and_where_it_comes_from(unbroken):
    assert len(losses(unbroken)) == 6 and losses(unbroken)[-1] < losses(unbroken)[0]
    with (unbroken / "loss.csv").open() as table:
        assert [float(row["loss"]) for row in csv.DictReader(table)] == losses(unbroken)
    assert (unbroken / "plots" / "loss.png").read_bytes().startswith(b"\x89PNG")
    origin = json.loads((unbroken / "adapter" / "origin.json").read_text())
    assert origin["method"] == "sdft" and origin["data"]["rows"] == 24 and origin["lora"]
    weights = load_file(unbroken / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith("lora_B.weight") and w.abs().max() > 0 for name, w in weights.items())


def test_killed_and_resumed_it_ends_where_an_unbroken_run_ends(parts, unbroken, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **parts)
    process = WarmProcess("tests.trainer.sft.killed_while_saving", "sft", "--config", recipe)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL
    torn = output / "checkpoint-3"
    assert torn.is_dir() and not (torn / "trainer_state.json").exists()
    assert not (output / "adapter" / "origin.json").exists()
    assert command("--config", recipe) == 0
    assert losses(output) == pytest.approx(losses(unbroken), abs=1e-5)
    expected, found = (load_file(o / "adapter" / "adapter_model.safetensors") for o in (unbroken, output))
    assert all((expected[name] - found[name]).abs().max() < 1e-5 for name in expected)


def test_full_parameter_training_leaves_a_model_that_loads(parts, tmp_path):
    from transformers import AutoModelForCausalLM

    output = tmp_path / "run"
    recipe = write_recipe(
        tmp_path / "recipe.yaml", output=output, **parts, lora=None, training={"max_steps": 2, "learning_rate": 1e-3}
    )
    assert command("--config", recipe) == 0
    before = AutoModelForCausalLM.from_pretrained(parts["model"]).state_dict()
    after = AutoModelForCausalLM.from_pretrained(output / "model").state_dict()
    assert any((before[name] - after[name]).abs().max() > 0 for name in before)
    assert command("--config", recipe, "--set", "training.learning_rate=1.0") == 2


@pytest.mark.slow
def test_weights_cut_over_two_processes_end_in_the_model_of_one_also_behind_the_last_step(parts, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    changes = {"lora": None, "training": {"max_steps": 2, "learning_rate": 1e-3, "micro_batch": 2}}
    assert command("--config", write_recipe(tmp_path / "one.yaml", output=one, **parts, **changes)) == 0
    expected = load_file(one / "model" / "model.safetensors")
    recipe = write_recipe(tmp_path / "two.yaml", output=two, **parts, **changes)
    for _ in range(2):
        said = tmp_path / "said"
        processes = launched(
            "fsdp2", "sft", "--config", recipe, output=said, module="tests.trainer.drawn_by_prompt",
            environment={"CUT_ON_CPU": "1"},
        )  # fmt: skip
        assert [process.wait(PATIENCE_S) for process in processes] == [0, 0], Path(f"{said}-0").read_text()
        assert (two / "checkpoint-2" / "optimizer_0" / ".metadata").is_file()
        found = load_file(two / "model" / "model.safetensors")
        assert all((expected[name] - found[name]).abs().max() < 1e-5 for name in expected)
        shutil.rmtree(two / "model")  # as if it had been killed before its end was written


@pytest.mark.parametrize(
    ("template", "args"),
    [
        (TRIMS_AND_PRINTS_THE_DATE, {}),
        (NO_HEADER_AND_A_LEADING_SPACE, {}),
        (THINKING_IN_THE_LAST_TURN, {}),
        (THINKING_IN_THE_GENERATION_PROMPT_ALONE, {"enable_thinking": False}),
    ],
)
def test_the_loss_falls_on_the_response_and_its_end_alone(tmp_path, template, args):
    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.rendering import Rendering
    from rewright.trainer.sft.data import IGNORED, sft_rows

    tokenizer = tiny_tokenizer(template)
    chat = ChatFormat.of(tokenizer, Rendering(template_args=args, template_date="2025-01-01"))
    rows = sft_rows(write_dataset(tmp_path, 2), chat=chat, max_tokens=400)
    for n, row in enumerate(rows.dataset):
        trained = [token for token in row["labels"] if token != IGNORED]
        text = tokenizer.decode(trained)
        assert text.strip().removesuffix("<|turn|>").removesuffix("</s>").strip().endswith(f"\\boxed{{{2 * n}}}.")
        assert "What is" not in text and trained[-1] == chat.end_mark
        prompt = chat.encode_prompt([{"role": "user", "content": f"What is {n} plus {n}?"}])
        assert row["input_ids"][: len(prompt)] == prompt
        assert row["labels"] == [IGNORED] * len(prompt) + row["input_ids"][len(prompt) :]


def test_two_runs_never_train_in_one_folder(parts, tmp_path, capsys):
    from rewright.trainer.runs.train_folder import RunFolder

    recipe = write_recipe(tmp_path / "recipe.yaml", output=tmp_path / "run", **parts)
    with held_elsewhere(RunFolder, tmp_path / "run") as process:
        assert command("--config", recipe) == 2
    assert f"another training run is at work in {tmp_path / 'run'} (process {process.pid}" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_train_on_the_same_global_batch(parts, unbroken, tmp_path):
    output = tmp_path / "run"
    recipe = write_recipe(tmp_path / "recipe.yaml", output=output, **parts)
    ranks = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "rewright.trainer", "sft"]
    subprocess.run([*ranks, "--config", str(recipe)], cwd=ROOT, check=True, timeout=250)
    assert losses(output) == pytest.approx(losses(unbroken), abs=1e-4)


@pytest.mark.parametrize("words_start_with_a_mark", [False, True])
@pytest.mark.parametrize(
    "template",
    [
        TRIMS_AND_PRINTS_THE_DATE,
        NO_HEADER_AND_A_LEADING_SPACE,
        THINKING_IN_THE_LAST_TURN,
        THINKING_IN_THE_GENERATION_PROMPT_ALONE,
    ],
)
def test_what_is_trained_is_what_nll_counts_up_to_the_end_of_turn(tmp_path, template, words_start_with_a_mark):
    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.rendering import Rendering
    from rewright.service.schema import Group
    from rewright.service.scorers.nll.scorer import BackboneNll
    from rewright.trainer.sft.data import sft_rows
    from tests.service.scorers.tiny_models import tiny_backbone

    backbone = dataclasses.replace(
        tiny_backbone("llama"), tokenizer=tiny_tokenizer(template, words_start_with_a_mark=words_start_with_a_mark)
    )
    chat = ChatFormat.of(backbone.tokenizer, Rendering())
    rows = sft_rows(write_dataset(tmp_path, 2), chat=chat, max_tokens=400).dataset
    nll = BackboneNll(
        load=lambda: backbone, score_end_of_turn=True, rendering=Rendering(),
        max_tokens=None, batch_tokens=1000, queue_tokens=1000,
    )  # fmt: skip
    groups = [
        Group(id=str(n), problem=f"What is {n} plus {n}?", candidates=[f"It is \\boxed{{{2 * n}}}."]) for n in range(2)
    ]

    async def scored():
        await nll.open()
        try:
            return await nll.score(groups)
        finally:
            await nll.close()

    for row, group in zip(rows, asyncio.run(scored()), strict=True):
        start = row["labels"].count(-100)
        ids = torch.tensor([row["input_ids"]])
        with torch.inference_mode():
            logprobs_TV = backbone.model(ids).logits[0, :-1].log_softmax(-1)
        loss = -logprobs_TV.gather(1, ids[0, 1:, None])[start - 1 :].mean()
        assert group.candidates[0].n_tokens == len(row["input_ids"]) - start
        assert group.candidates[0].nll == pytest.approx(float(loss), abs=1e-4)


def test_a_mark_that_the_template_writes_and_that_is_no_special_token_is_a_control_token(tmp_path):
    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.rendering import Rendering
    from rewright.trainer.sft.data import sft_rows

    tokenizer = tiny_tokenizer(THINKING_IN_THE_LAST_TURN)
    assert not tokenizer.added_tokens_decoder[tokenizer.convert_tokens_to_ids("<think>")].special
    file = write_dataset(tmp_path, 2)
    said = [{"role": "assistant", "content": "<think>hm</think> 4"}]
    with file.open("a") as out:
        out.write(json.dumps({"id": "x", "prompt": [{"role": "user", "content": "2 + 2?"}], "completion": said}) + "\n")
    chat = ChatFormat.of(tokenizer, Rendering(template_args={"enable_thinking": False}, template_date="2025-01-01"))
    assert sft_rows(file, chat=chat, max_tokens=300).left_out == {"x": "control_tokens"}
    elsewhere = ChatFormat.of(
        tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE), Rendering(template_args={}, template_date="2025-01-01")
    )
    assert sft_rows(file, chat=elsewhere, max_tokens=300).left_out == {}


def test_rows_that_cannot_be_trained_on_are_left_out_and_counted(tmp_path):
    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.rendering import Rendering
    from rewright.trainer.sft.data import sft_rows

    file = write_dataset(tmp_path, 3)
    turn = {"role": "user", "content": "What?"}
    with file.open("a") as out:
        for name, said in (("blank", "  "), ("control", "so <|turn|>"), ("long", "so " * 400)):
            response = {"role": "assistant", "content": said}
            out.write(json.dumps({"id": name, "prompt": [turn], "completion": [response]}) + "\n")
        for name, turns in (("user", [turn]), ("none", []), ("tool", [{"role": "tool", "content": "4"}])):
            out.write(json.dumps({"id": name, "prompt": [turn], "completion": turns}) + "\n")
    tokenizer = tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE)
    chat = ChatFormat.of(tokenizer, Rendering(template_args={}, template_date="2025-01-01"))
    rows = sft_rows(file, chat=chat, max_tokens=300)
    assert rows.left_out == {
        "blank": "empty", "control": "control_tokens", "long": "too_long",
        "user": "not_assistant", "none": "not_assistant", "tool": "tool_turns",
    }  # fmt: skip
    assert len(rows.dataset) == 3


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (None, "there is no file"),
        ([], "no row"),
        (['{"messages": []}'], "no row of rows.jsonl can be trained on; left out: 1 no_messages"),
        (['{"text": "2 + 2 = 4"}'], "line 1: no known layout has the columns 'text'"),
        (['{"question": "2 + 2?", "answer": "4", "solution": "4"}'], "fit several layouts"),
        (["not json"], "line 1"),
    ],
)
def test_a_dataset_that_cannot_be_used_is_refused_by_name(parts, tmp_path, capsys, lines, said):
    file = tmp_path / "rows.jsonl"
    if lines is not None:
        file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    recipe = write_recipe(tmp_path / "r.yaml", output=tmp_path / "run", model=parts["model"], data=file)
    assert command("--config", recipe) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_the_paper_recipe_is_the_papers():
    from rewright.trainer.recipes.sft import load_sft_recipe

    recipe = load_sft_recipe("sft-paper")
    t = recipe.training
    assert recipe.lora is None and (t.batch, t.epochs, t.learning_rate) == (128, 2, 7e-6)
    assert (t.schedule, t.warmup_ratio, t.betas, t.epsilon) == ("cosine", 0.1, (0.9, 0.999), 1e-8)
    assert (t.weight_decay, t.max_grad_norm, t.accumulation(4)) == (0.0, 1.0, 8)
    load_sft_recipe("sft-small-cpu")


def test_the_same_run_in_llama_factorys_words(parts, tmp_path, capsys):
    data = write_dataset(tmp_path / "build")
    recipe = write_recipe(tmp_path / "r.yaml", output=tmp_path / "run", model="Qwen2-x", data=data, lora=None)
    out = tmp_path / "lf.yaml"
    assert command("--config", recipe, "--llama-factory", out) == 2
    assert "dataset_info.json" in capsys.readouterr().err
    (data.parent / "dataset_info.json").write_text('{"mine": {"file_name": "x.json"}}')
    assert command("--config", recipe, "--llama-factory", out) == 0
    said = yaml.safe_load(out.read_text())
    assert (said["finetuning_type"], said["dataset"], said["template"]) == ("full", "mine", "qwen")
    assert said["per_device_train_batch_size"] * said["gradient_accumulation_steps"] == 8
