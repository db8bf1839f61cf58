"""Whole builds on a random model of a few thousand weights, over HTTP, with verdicts that hang on the text."""

import json

import pytest

from rewright.trainer.data.prompts import Prompt
from rewright.trainer.errors import CorpusError, RecipeError, RunFolderError, ServiceTrouble
from tests.live_server import serve_app
from tests.trainer.build.build_parts import rows_in, run_build, telling_scorers, write_build_recipe, write_samples
from tests.trainer.tiny_run import write_backbone


@pytest.fixture(scope="module")
def service():
    with serve_app(telling_scorers()) as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory, service):
    folder = tmp_path_factory.mktemp("parts")
    return {
        "model": write_backbone(folder / "model"),
        "problems": write_samples(folder / "problems.jsonl", 36),
        "url": service.url,
    }


@pytest.fixture
def recipe(parts, tmp_path):
    def written(**changes):
        return write_build_recipe(tmp_path / "recipe.yaml", output=tmp_path / "out", **(parts | changes))

    return written


def report_of(dataset):
    return json.loads((dataset.parent / "build.json").read_text())


@pytest.fixture(scope="module")
def gap(parts, tmp_path_factory):
    """A whole mind_the_gap build, which has every origin."""
    folder = tmp_path_factory.mktemp("gap")
    return run_build(write_build_recipe(folder / "recipe.yaml", output=folder / "out", method="mind_the_gap", **parts))


def test_every_sample_gives_one_row_and_what_is_kept_passed_the_gate_or_is_the_reference(gap, parts):
    rows = rows_in(gap)
    stage_two = rows_in(gap.parent / "corpus" / "stage_two.jsonl")
    assert [row["id"] for row in rows] == [sample["id"] for sample in stage_two]
    assert sorted(row["id"] for row in rows) == sorted(f"p{n}" for n in range(36))
    for row, sample in zip(rows, stage_two, strict=True):
        assert row["prompt"] == [{"role": "user", "content": sample["problem"]}]
        (completion,) = row["completion"]
        steps = [attempt["step"] for attempt in row["attempts"]]
        passed = [attempt["scores"]["r_task"] == 1 for attempt in row["attempts"]]
        if row["origin"] == "reference":
            assert steps == ["self_solve", "rewrite"] and not any(passed)
            assert completion["content"] == sample["reference"] and row["r_task"] is None
            assert row["nll"] == row["reference_nll"]
        else:
            assert steps[-1] == row["origin"] and passed == [False] * (len(steps) - 1) + [True]
            assert completion["content"] == row["attempts"][-1]["text"]
            assert (row["gate"], row["r_task"], row["v_ans"], row["v_rea"]) == ("open", 1, 1, 1)
            assert row["nll"] is not None and row["r_dist"] == 0.5 and row["r_div"] == 0
    assert {row["origin"] for row in rows} == {"rewrite", "self_solve", "reference"}


def test_guided_re_solving_shows_the_reference_in_its_second_stage_and_then_falls_back(recipe, gap):
    rows = rows_in(run_build(recipe(method="mind_the_gap_guided")))
    assert {row["origin"] for row in rows} == {"self_solve", "guided_solve", "reference"}
    for row, plain in zip(rows, rows_in(gap), strict=True):
        steps = [attempt["step"] for attempt in row["attempts"]]
        assert steps == (["self_solve"] if row["origin"] == "self_solve" else ["self_solve", "guided_solve"])
        assert row["attempts"][0] == plain["attempts"][0]
    prompt = Prompt.load("guided-v1", places={"problem", "solution"})
    assert "is 42" in prompt.fill(problem="p", solution="it is 42") and "hint" in prompt.text


def test_the_report_and_the_card_count_what_the_rows_say(gap):
    rows, report = rows_in(gap), report_of(gap)
    kept = [row for row in rows if row["origin"] != "reference"]
    assert report["counts"] == {o: sum(r["origin"] == o for r in rows) for o in ("rewrite", "self_solve", "reference")}
    assert report["yield"] == pytest.approx(len(kept) / 36)
    for origin, found in report["nll"].items():
        values = [row["nll"] for row in rows if row["origin"] == origin]
        assert found == pytest.approx(sum(values) / len(values))
    assert 0 < report["generator_busy"] <= 1 and 0 < report["service_busy"] <= 1.01
    assert (report["method"], report["samples"], report["rows"], report["rows_of_last_run"]) == (
        "mind_the_gap", 36, 36, 36
    )  # fmt: skip
    card = (gap.parent / "README.md").read_text()
    assert f"{100 * report['yield']:.1f} %" in card and "data_files: dataset.jsonl" in card
    assert not any(row["prompt"][0]["content"] in card for row in rows)
    for name in ("nll", "length", "origin"):
        assert (gap.parent / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_build_is_left_as_it_is_and_its_folder_is_nobody_elses(gap, recipe, parts, tmp_path):
    before = gap.stat().st_mtime_ns
    same = {"method": "mind_the_gap", "keeping": {"output": str(gap.parent)}}
    assert run_build(recipe(**same)) == gap and gap.stat().st_mtime_ns == before
    with pytest.raises(RunFolderError, match="generation"):
        run_build(recipe(**same, generation={"max_tokens": 7}))


def test_the_baseline_of_references_needs_no_model_and_writes_nothing(recipe):
    dataset = run_build(recipe(method="sft"))
    rows = rows_in(dataset)
    assert len(rows) == 36 and {row["origin"] for row in rows} == {"reference"}
    assert all(row["attempts"] == [] and row["nll"] == row["reference_nll"] for row in rows)
    assert report_of(dataset)["yield"] is None and report_of(dataset)["generator_busy"] == 0


def test_builds_of_every_method_and_format_load_and_concatenate_with_datasets(gap, recipe, tmp_path):
    import datasets

    parquet = {"output": str(tmp_path / "parquet"), "format": "parquet"}
    others = [recipe(method="sft", keeping={"output": str(tmp_path / "sft")}), recipe(method="sft", keeping=parquet)]
    files = [gap, *(run_build(other) for other in others)]
    for load in (lambda file: str(file.parent), None):
        loaded = []
        for number, file in enumerate(files):
            kind = "parquet" if file.suffix == ".parquet" else "json"
            where = {"path": load(file)} if load else {"path": kind, "data_files": str(file)}
            cache = str(tmp_path / f"cache-{number}-{bool(load)}")
            loaded.append(datasets.load_dataset(**where, split="train", cache_dir=cache))
        if load:
            assert loaded[0].features == loaded[1].features == loaded[2].features
        for order in (loaded, loaded[::-1]):
            together = datasets.concatenate_datasets(order)
            assert len(together) == 3 * 36 and set(together["origin"]) >= {"reference"}


def test_success_only_in_parquet_leaves_out_the_fallbacks_and_counts_them(recipe):
    pq = pytest.importorskip("pyarrow.parquet")
    dataset = run_build(recipe(success_only=True, keeping={"format": "parquet"}))
    table = pq.read_table(dataset).to_pylist()
    grown = rows_in(dataset.parent / "rows.jsonl")
    assert table == [row for row in grown if row["origin"] == "rewrite"]
    report = report_of(dataset)
    assert 0 < report["rows"] == report["counts"]["rewrite"] < 36 == report["samples"]
    exported = rows_in(dataset.parent / "llamafactory" / "rewright.jsonl")
    assert [row["output"] for row in exported] == [row["completion"][0]["content"] for row in table]


def test_a_rewriter_brings_its_own_prompt_and_its_report_says_what_it_was_trained_with(recipe, parts, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    adapter = tmp_path / "adapter"
    get_peft_model(AutoModelForCausalLM.from_pretrained(parts["model"]), config).save_pretrained(adapter)
    own = {"name": "own", "text": "Say it anew: {{problem}} {{solution}}"}
    (adapter / "rendering.json").write_text(json.dumps({"args": {}, "date": "2025-01-01", "prompt": own}))
    stage_one = {
        "corpus": {"sources": [{"path": "p.jsonl"}]},
        "training": {"group_size": 4, "micro_batch": 4, "prompts_per_step": 2},
    }
    state = {"global_step": 3, "log_history": [{"num_tokens": 50.0}, {"num_tokens": 120.0}, {"train_loss": 1.0}]}
    (tmp_path / "trainer_state.json").write_text(json.dumps(state))
    (adapter / "recipe.yaml").write_text(json.dumps(stage_one | {"reward": {"variant": "no_div"}}))
    dataset = run_build(recipe(method="agent", adapter=str(adapter)))
    report = report_of(dataset)
    assert report["rewriter"] == {"variant": "no_div", "group_size": 4, "stage_one": {"rollouts": 24, "tokens": 120}}
    assert report["provenance"]["prompts"]["rewrite"]["name"] == "own"
    assert {row["provenance"]["adapter"] for row in rows_in(dataset)} == {report["provenance"]["adapter"]}


def test_shards_make_the_bytes_of_one_machine_and_merge_only_when_they_are_whole(recipe, gap, tmp_path):
    from rewright.trainer.build.merge import merge

    one = recipe(method="mind_the_gap")
    run_build(one, "0/2")
    with pytest.raises(RunFolderError, match="not there: 1-of-2"):
        merge(tmp_path / "out")
    second = run_build(one, "1/2")
    assert merge(tmp_path / "out").read_bytes() == gap.read_bytes()
    assert report_of(tmp_path / "out" / "dataset.jsonl")["counts"] == report_of(gap)["counts"]
    (second.parent / "build.json").rename(second.parent / "away.json")
    with pytest.raises(RunFolderError, match="1-of-2 is not finished"):
        merge(tmp_path / "out")


def test_methods_share_one_corpus_that_was_made_before(recipe, gap, tmp_path):
    dataset = run_build(recipe(method="sft", corpus=None, corpus_folder=str(gap.parent / "corpus")))
    assert [row["id"] for row in rows_in(dataset)] == [row["id"] for row in rows_in(gap)]
    with pytest.raises(CorpusError, match=r"report\.json"):
        run_build(recipe(method="sft", corpus=None, corpus_folder=str(tmp_path / "nowhere")))


def test_bad_samples_are_left_out_for_every_method_alike_and_listed(recipe, tmp_path):
    rows = [
        {"id": "good", "problem": "What is 1 plus 1?", "solution": "It is \\boxed{2}.", "answer": 2},
        {"id": "twice", "problem": "What is  1 plus 1?", "solution": "It is 2.", "answer": 2},
        {"id": "unread", "problem": "What is 2 plus 2?", "solution": "It is 4.", "answer": "unreadable"},
        {"id": "hollow", "problem": "What is 3 plus 3?", "solution": " ", "answer": 6},
        {"id": "broken", "problem": "What is \ud83d plus 1?", "solution": "It is 1.", "answer": 1},
        {"id": "wrong", "problem": "What is 5 plus 5?", "solution": "It is 10.", "answer": "another"},
        {"id": "no-answer", "problem": "What is 4 plus 4?", "solution": "It is \\boxed{8}.", "answer": None},
    ]
    file = tmp_path / "bad.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    half = {"max_gold_misses": 0.5}
    for method in ("sft", "sdft"):
        dataset = run_build(
            recipe(method=method, problems=file, keeping={"output": str(tmp_path / method)}, corpus=half)
        )
        assert sorted(row["id"] for row in rows_in(dataset)) == ["good"]
        left = rows_in(dataset.parent / "corpus" / "left_out.jsonl")
        assert {item["id"]: item["reason"] for item in left} == {
            "twice": "duplicate", "unread": "bad_gold", "hollow": "empty", "broken": "broken_text",
            "no-answer": "no_answer", "wrong": "gold_differs",
        }  # fmt: skip
        assert set(report_of(dataset)["left_out"].values()) == {1}


def test_a_gold_that_is_found_unreadable_under_way_stops_the_build_and_is_no_fallback(recipe, tmp_path):
    file = write_samples(tmp_path / "unreadable.jsonl", 3, answer="unreadable")
    corpus = {"sources": [{"path": str(file), "answer": "answer"}], "check_golds": False}
    with pytest.raises(CorpusError, match=r"gold answer of 'p\d'.*check_golds"):
        run_build(recipe(corpus=corpus))
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "no rows"),
        ('{"problem": "x"}\n', "'solution'"),
        ("{nonsense\n", "line 1: no JSON"),
        ('{"problem": "What?", "solution": "", "answer": "1"}\n', "none of its 1 rows can be used: 1 empty"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_said_to_be_so(recipe, tmp_path, lines, said):
    file = tmp_path / "bad.jsonl"
    file.write_text(lines)
    with pytest.raises(CorpusError, match=said):
        run_build(recipe(problems=file))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "agent"}, "needs adapter"),
        ({"adapter": "x"}, "uses the backbone alone"),
        ({"corpus_folder": "x"}, "not both"),
        ({"method": "sft", "success_only": True}, "nothing"),
        ({"generation": {"batchsize": 3}}, "generation.batchsize"),
        ({"solve_prompt": "rewrite-v1"}, "must have the places {{problem}}"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_by_the_keys_name(recipe, changes, said):
    with pytest.raises(RecipeError, match=said):
        run_build(recipe(**changes))


def test_a_shard_counts_from_zero_and_a_dead_service_is_named(recipe, impatient):
    with pytest.raises(RecipeError, match="0 to n - 1"):
        run_build(recipe(), "2/2")
    with pytest.raises(ServiceTrouble, match=r"127\.0\.0\.1:9"):
        run_build(recipe(url="http://127.0.0.1:9"))


def test_shipped_recipes_parse_and_the_paper_recipe_is_the_papers():
    from rewright.trainer.recipes.build import load_build_recipe
    from rewright.trainer.recipes.loader import shipped

    assert set(shipped("build")) == {"build-paper", "build-small-cpu"}
    small, paper = load_build_recipe("build-small-cpu"), load_build_recipe("build-paper", ["method=mind_the_gap"])
    assert (paper.generation.temperature, paper.generation.top_p, paper.generation.max_tokens) == (0, 1, 8192)
    assert paper.corpus is not None and (paper.corpus.draw, paper.corpus.stage_one_share) == (100000, 0.5)
    assert small.method == "sdft"
