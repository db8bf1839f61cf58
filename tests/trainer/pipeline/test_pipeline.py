"""The whole experiment on a tiny random model: all four methods up to the report, then again with nothing to do."""

import argparse
import json
from pathlib import Path

import pytest
import yaml

from tests.clients.scorers_by_text import NllByText
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
from tests.trainer.tiny_run import write_backbone, write_problems

pytestmark = pytest.mark.timeout(900)
"""The first test waits for a whole experiment: seconds on a free machine, minutes on one that is busy."""


@pytest.fixture(scope="module")
def service():
    with serve_app(plain_scorers(nll=NllByText())) as server:
        yield server.url


def write_recipe(folder, url):
    model = write_backbone(folder / "model")
    questions = [
        {"id": f"{b}{n}", "benchmark": b, "subject": "s", "question": f"{n}?", "options": options, "answer": "A"}
        for b, options in (("Math500", None), ("MMLU", ["one", "two"]))
        for n in range(2)
    ]
    (folder / "eval.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions), encoding="utf-8")
    training = {"gradient_checkpointing": False, "learning_rate": 1e-3}
    content = {
        "kind": "pipeline",
        "work": str(folder / "work"),
        "backbone": {"model": str(model), "device": "cpu", "precision": "float32"},
        "corpus": {"sources": [{"path": str(write_problems(folder / "p.jsonl", 12)), "answer": "answer"}]},
        "prompt": {"file": "rewrite-small-v1", "max_tokens": 400},
        "solve_prompt": "solve-small-v1",
        "service": {"base_urls": [url], "patience_s": 30},
        "rewriters": {
            "agent": {
                "lora": {"r": 4, "alpha": 8},
                "rollouts": {"max_tokens": 6},
                "training": {**training, "group_size": 2, "prompts_per_step": 2, "micro_batch": 4, "max_steps": 1},
            }
        },
        "datasets": {
            "sft": {"method": "sft"},
            "sdft": {"method": "sdft"},
            "mind_the_gap": {"method": "mind_the_gap"},
            "agent": {"method": "agent", "rewriter": "agent", "success_only": True},
        },
        "generation": {"engine": "transformers", "batch_size": 4, "max_tokens": 6},
        "sft": {
            "lora": {"r": 4, "alpha": 8},
            "training": {**training, "batch": 4, "micro_batch": 4, "epochs": 1},
        },
        "evaluate": {
            "data": str(folder / "eval.jsonl"),
            "generation": {"engine": "transformers", "max_tokens": 5},
            "drift": {"prompts": 2, "max_tokens": 8},
        },
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def command(*arguments):
    from rewright.trainer.commands.pipeline import add

    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    options = parser.parse_args(["pipeline", *map(str, arguments)])
    return options.run(options)


@pytest.fixture(scope="module")
def finished(service, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    recipe = write_recipe(folder, service)
    assert command("--config", recipe) == 0
    return folder


def records(folder):
    return {file.stem: json.loads(file.read_text()) for file in (folder / "work" / "steps").glob("*.json")}


def files(folder):
    return {path: path.stat().st_mtime_ns for path in (folder / "work").rglob("*") if path.is_file()}


def test_one_recipe_runs_every_step_up_to_the_report(finished):
    names = ("sft", "sdft", "mind_the_gap", "agent")
    expected = {"rewriter-agent", "evaluate-base", "report", "sft-agent-success", "evaluate-agent-success"}
    expected |= {f"{kind}-{name}" for kind in ("build", "sft", "evaluate") for name in names}
    assert set(records(finished)) == expected
    report = (finished / "work" / records(finished)["report"]["folder"] / "report.md").read_text()
    for method in ("base", "SFT", "SDFT", "Mind the Gap", "Rewriting-agent"):
        assert f"| {method} | " in report
    assert "paper, Table 1, Llama-3.2-3B-Instruct" in report and "![" in report
    assert "Table 3: reward ablation\n\nNo runs for this table." in report
    assert "| success only | evaluate-agent-success" in report


def test_all_methods_have_the_same_problems_in_the_same_order(finished):
    orders = []
    for name in ("sft", "sdft", "mind_the_gap", "agent"):
        dataset = finished / "work" / records(finished)[f"build-{name}"]["folder"] / "dataset.jsonl"
        orders.append([json.loads(line)["id"] for line in dataset.read_text().splitlines()])
    assert orders[0] and all(order == orders[0] for order in orders)


def test_again_it_does_nothing_and_wherever_the_service_is(finished, service):
    before = files(finished)
    recipe = finished / "recipe.yaml"
    assert command("--config", recipe, "--set", f"service.base_urls={service.replace('127.0.0.1', 'localhost')}") == 0
    changed = {path.name for path, when in files(finished).items() if before.get(path) != when}
    assert changed == {"recipe.yaml"}


def test_what_changed_is_done_anew_beside_the_old_and_nothing_else(finished):
    before = records(finished)
    recipe = finished / "recipe.yaml"
    assert command("--config", recipe, "--set", "evaluate.drift.prompts=1", "--set", "sft=null") == 0
    after = records(finished)
    changed = {name for name in after if after[name]["key"] != before[name]["key"]}
    assert changed == {"evaluate-base", "report"}
    assert all((finished / "work" / record["folder"]).is_dir() for record in before.values())


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("datasets.agent.rewriter=absent", "datasets.agent.rewriter must be one of rewriters (agent)"),
        ("datasets.sft.rewriter=agent", "only the methods agent and select have a rewriter"),
        ("datasets.sdft.select={k: 4}", "chooses among nothing"),
        ("datasets.agent.adapter=x", "either rewriter or adapter"),
        ("evaluate.data=absent.jsonl", "evaluate.data: there is no file"),
        ("corpus.sources.0.path=absent.jsonl", "corpus.sources: there is no file"),
        ("service.base_urls=http://127.0.0.1:9", "cannot be used"),
        ("generations={}", "generations"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(finished, tmp_path, capsys, changes, said):
    work = tmp_path / "work"
    assert command("--config", finished / "recipe.yaml", "--set", f"work={work}", "--set", changes) in (1, 2)
    assert said in capsys.readouterr().err and not list(tmp_path.rglob("*.json"))


def test_the_shipped_recipe_parses():
    from rewright.trainer.recipes.pipeline import load_pipeline_recipe

    shipped = load_pipeline_recipe("pipeline-demo")
    assert set(shipped.datasets) == {"sft", "sdft", "mind_the_gap", "agent", "select"}
    built = shipped.build_recipe("select", output=Path("out"), adapter=None, corpus=None)
    assert built.selecting is not None and (built.selecting.k, built.selecting.rule.min_std) == (4, 0.03)
