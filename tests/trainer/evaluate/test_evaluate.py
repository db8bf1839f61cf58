"""Evaluation with the real generator on a tiny model, graded over HTTP: resumed, compared, drift, failures."""

import argparse
import json
import shutil

import pytest

from tests.live_server import serve_app
from tests.plain_scorers import PlainVerifier, plain_scorers
from tests.service.scorers.tiny_models import TRIMS_AND_PRINTS_THE_DATE, tiny_model, tiny_tokenizer
from tests.trainer.holding import held_elsewhere
from tests.trainer.tiny_run import write_backbone


class ByGold(PlainVerifier):
    """Says of an answer what its gold answer tells it to: the taught model states the same to every question."""

    away = False

    def _group(self, group, tokens):
        told = {"right": "ans=1", "wrong": "ans=0", "unreadable": "fail=bad_gold@verify", "5": "ans=1"}[group.answer]
        if self.away and group.id != "probe":
            told = "fail=scorer_unavailable@verify"
        return super()._group(group.model_copy(update={"candidates": [told]}), tokens)


@pytest.fixture(scope="module")
def verifier():
    return ByGold()


def taught(folder, answer):
    """A tiny model that says `answer` to whatever it is asked: each token hangs on the one before alone."""
    import torch

    from rewright.service.models.chat_format import ChatFormat
    from rewright.service.models.rendering import Rendering

    model, tokenizer = tiny_model("llama"), tiny_tokenizer(TRIMS_AND_PRINTS_THE_DATE)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.data.zero_()
    learnt = [parameter for name, parameter in model.named_parameters() if "self_attn" not in name]
    ids, start = ChatFormat.of(tokenizer, Rendering()).encode_target([{"role": "user", "content": "?"}], answer)
    labels = torch.tensor([[-100] * start + ids[start:]])
    optimiser = torch.optim.AdamW([parameter.requires_grad_(True) for parameter in learnt], lr=3e-3)
    for _ in range(60):
        model(input_ids=torch.tensor([ids]), labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory, verifier):
    folder = tmp_path_factory.mktemp("evaluate")
    golds = ["right", "right", "wrong", "unreadable"]
    rows = [
        {"id": f"{b}-{n}", "benchmark": b, "subject": "s", "question": f"{b} {n}?", "options": None, "answer": gold}
        for b in ("Math500", "AMC23", "MMLU")
        for n, gold in enumerate(golds)
    ]
    data = folder / "eval.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with serve_app(plain_scorers(verify=verifier)) as server:
        yield {"url": server.url, "model": taught(folder / "model", "\\boxed{7}"), "data": data}


def command(parts, output, *more):
    from rewright.trainer.commands.evaluate import add

    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    given = [f"--{name}={value}" for name, value in parts.items()]
    settings = ("generation.max_tokens=12", "generation.engine=transformers", "service.patience_s=2",
                "backbone.precision=float32", "backbone.device=cpu", "generation.batch_size=4")  # fmt: skip
    given += [f"--set={setting}" for setting in settings]
    options = parser.parse_args(["evaluate", *given, f"--output={output}", *map(str, more)])
    return options.run(options)


def results(output):
    return json.loads((output / "results.json").read_text())


@pytest.fixture(scope="module")
def base(parts, tmp_path_factory):
    output = tmp_path_factory.mktemp("base") / "run"
    assert command(parts, output) == 0
    return output


def test_accuracy_is_over_what_could_be_verified(base):
    said = results(base)
    for name in ("Math500", "AMC23", "MMLU"):
        r = said["benchmarks"][name]
        assert (r["correct"], r["scored"], r["not_verified"]) == (2, 3, {"bad_gold": 1})
        assert r["accuracy"] == pytest.approx(2 / 3) and r["interval"][0] < r["accuracy"] < r["interval"][1]
    assert said["averages"]["MathAvg"]["benchmarks"] == ["AMC23", "Math500"]
    assert said["averages"]["OverallAvg"] == pytest.approx(2 / 3)
    page = (base / "results.md").read_text()
    assert "| Math500 | 66.7 |" in page and "1 bad_gold" in page
    kept = [json.loads(line) for line in (base / "generations.jsonl").read_text().splitlines()]
    assert len(kept) == 12 and all(row["text"] == "\\boxed{7}" for row in kept)


def test_a_run_cut_short_goes_on_and_ends_alike(parts, base, tmp_path):
    output = tmp_path / "run"
    assert command(parts, output) == 0
    for name, keep in (("generations.jsonl", 7), ("verdicts.jsonl", 3)):
        lines = (output / name).read_bytes().splitlines(keepends=True)
        (output / name).write_bytes(b"".join(lines[:keep]) + b'{"id": "torn')
    (output / "results.json").unlink()
    assert command(parts, output) == 0
    assert results(output)["benchmarks"] == results(base)["benchmarks"]
    ids = [json.loads(line)["id"] for line in (output / "generations.jsonl").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 12


def test_a_service_that_is_away_costs_no_answer_and_no_accuracy(parts, verifier, tmp_path, capsys):
    output = tmp_path / "run"
    verifier.away = True
    try:
        assert command(parts, output) == 1
    finally:
        verifier.away = False
    assert "12 of 12 answers could not be verified" in capsys.readouterr().err
    assert not (output / "results.json").exists()
    written = (output / "generations.jsonl").read_bytes()
    assert command(parts, output) == 0
    assert (output / "generations.jsonl").read_bytes() == written
    assert results(output)["benchmarks"]["AMC23"]["scored"] == 3


def test_against_a_base_nothing_moved_is_nothing_and_a_moved_model_drifts(parts, base, tmp_path):
    assert command(parts, tmp_path / "same", "--base", base, "--set", "drift.prompts=3") == 0
    same = results(tmp_path / "same")
    assert same["against_base"]["math_up"] == same["against_base"]["gen_down"] == 0
    assert same["drift"]["kl"] == pytest.approx(0, abs=1e-6) and same["drift"]["prompts"] == 3
    other = write_backbone(tmp_path / "model")
    model = tiny_model("llama")
    model.lm_head.weight.data *= 0.5
    model.save_pretrained(other)
    assert command({**parts, "model": other}, tmp_path / "moved", "--base", base) == 0
    drift = results(tmp_path / "moved")["drift"]
    assert drift["kl"] > 0.01 and drift["kl_interval"][0] <= drift["kl"] <= drift["kl_interval"][1]
    assert "drift from the base" in (tmp_path / "moved" / "results.md").read_text()


def test_an_adapter_on_the_base_drifts_as_its_merged_model_does(parts, base, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(parts["model"]), lora)
    wrapped.save_pretrained(tmp_path / "adapter")
    merged = write_backbone(tmp_path / "merged")
    wrapped.merge_and_unload().save_pretrained(merged)
    assert command(parts, tmp_path / "one", "--base", base, "--adapter", tmp_path / "adapter") == 0
    assert command({**parts, "model": merged}, tmp_path / "two", "--base", base) == 0
    one, two = results(tmp_path / "one")["drift"], results(tmp_path / "two")["drift"]
    assert one["kl"] == pytest.approx(two["kl"], rel=1e-3) and one["kl"] > 1e-4
    assert one["nll_drift"] == pytest.approx(two["nll_drift"], rel=1e-3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--data=absent.jsonl"], "no file 'absent.jsonl'"),
        (["--url=http://127.0.0.1:9"], "cannot be used"),
        (["--adapter=nowhere"], "no adapter"),
        (["--base=nowhere"], "no finished evaluation"),
        (["--set=prompts.math=rewrite-v1"], "{{question}}"),
        (["--set=per_benchmark=0"], "per_benchmark"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(parts, tmp_path, capsys, more, said):
    assert command(parts, tmp_path / "run", *more) in (1, 2)
    assert said in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_question_that_does_not_fit_is_no_wrong_answer(parts, tmp_path):
    rows = [json.loads(line) for line in parts["data"].read_text().splitlines()]
    rows[0]["question"] = "long " * 600
    data = tmp_path / "eval.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert command({**parts, "data": data}, tmp_path / "run") == 0
    r = results(tmp_path / "run")["benchmarks"]["Math500"]
    assert r["not_verified"] == {"prompt_too_long": 1, "bad_gold": 1} and r["scored"] == 2


def test_options_are_graded_by_what_is_stated_and_nothing_stated_is_not_wrong(parts, tmp_path):
    rows = [
        {"id": "right", "benchmark": "MMLU", "question": "?", "options": ["6", "7"], "answer": "B"},
        {"id": "wrong", "benchmark": "MMLU", "question": "?", "options": ["7", "6"], "answer": "B"},
        {"id": "asked", "benchmark": "MMLU", "question": "?", "options": ["6", "right"], "answer": "B"},
    ]
    data = tmp_path / "eval.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert command({**parts, "data": data}, tmp_path / "run") == 0
    assert results(tmp_path / "run")["benchmarks"]["MMLU"]["verdicts"] == {"correct": 2, "wrong": 1}
    likelihood = results(tmp_path / "run")["likelihood"]["MMLU"]
    assert {kind: each["questions"] for kind, each in likelihood.items()} == {"letters": 3, "texts": 3, "texts_norm": 3}
    assert "texts, acc_norm" in (tmp_path / "run" / "results.md").read_text()
    silent = taught(tmp_path / "silent", "yes, so the sum is 42")
    assert command({**parts, "model": silent, "data": data}, tmp_path / "silent-run") == 0
    r = results(tmp_path / "silent-run")["benchmarks"]["MMLU"]
    assert (r["verdicts"], r["accuracy"], r["unstated"]) == ({"unstated": 3}, 0, 3)
    assert "| MMLU | 0.0 |" in (tmp_path / "silent-run" / "results.md").read_text()


def test_two_evaluations_in_one_folder_do_not_mix(parts, tmp_path, capsys):
    from rewright.trainer.evaluate.folder import EvaluateFolder

    with held_elsewhere(EvaluateFolder, tmp_path / "run"):
        assert command(parts, tmp_path / "run") == 2
    assert "another evaluation" in capsys.readouterr().err
    assert command(parts, tmp_path / "run") == 0


def test_a_folder_of_other_settings_and_a_base_of_other_questions_are_refused(parts, base, tmp_path, capsys):
    assert command(parts, base, "--set", "generation.max_tokens=13") == 2
    assert "generation" in capsys.readouterr().err
    assert command(parts, tmp_path / "run", "--base", base, "--set", "per_benchmark=2") == 2
    assert "other questions" in capsys.readouterr().err
    older = tmp_path / "older"
    shutil.copytree(base, older)
    (older / "results.json").write_text(json.dumps({**results(base), "grading": "before"}))
    assert command(parts, tmp_path / "run", "--base", older) == 2
    assert "was graded by before" in capsys.readouterr().err
