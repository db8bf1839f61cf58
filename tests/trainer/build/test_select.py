"""Best of K by the service's reward: whole builds on a tiny model, the choice recomputed from what every row keeps."""

import json

import pytest

from rewright.trainer.build.rows import Attempt, best
from rewright.trainer.errors import RecipeError, ServiceTrouble
from tests.live_server import serve_app
from tests.trainer.build.build_parts import rows_in, run_build, telling_scorers, write_build_recipe, write_samples
from tests.trainer.tiny_run import write_backbone

K = 5


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("select-parts")
    with serve_app(telling_scorers()) as running:
        yield {
            "model": write_backbone(folder / "model"),
            "problems": write_samples(folder / "problems.jsonl", 10),
            "url": running.url,
        }


@pytest.fixture(scope="module")
def dataset(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("select")
    select = {"k": K, "candidates": "both", "rule": {"lambda_div": 0.0, "min_std": 0.05}}
    return run_build(
        write_build_recipe(folder / "recipe.yaml", output=folder / "out", method="select", select=select, **parts)
    )


def test_kept_is_the_best_total_of_one_group_of_k_by_the_recipes_own_rule(dataset):
    rows = rows_in(dataset)
    assert {row["origin"] for row in rows} >= {"rewrite", "self_solve"}
    for row in rows:
        steps = [attempt["step"] for attempt in row["attempts"]]
        assert steps == ["rewrite"] * 3 + ["self_solve"] * 2
        scores = [attempt["scores"] for attempt in row["attempts"]]
        feasible = [s for s in scores if s["r_task"] == 1]
        if not feasible:
            assert (row["origin"], row["total"]) == ("reference", None)
            continue
        assert row["total"] == max(s["total"] for s in feasible) and row["r_task"] == 1
        texts = [a["text"] for a in row["attempts"] if a["scores"]["total"] == row["total"]]
        assert row["completion"][0]["content"] in texts
        assert row["nll"] == min(s["nll"] for s in feasible)
        # Statistics over the whole group, with the floor that the recipe sets.
        mean = sum(s["nll"] for s in feasible) / len(feasible)
        assert sum(s["nll_z"] for s in feasible) == pytest.approx(0, abs=1e-4)
        assert row["nll_z"] == pytest.approx((row["nll"] - mean) / (max(_deviation(feasible), 0.05) + 1e-6))


def _deviation(scores):
    mean = sum(s["nll"] for s in scores) / len(scores)
    return (sum((s["nll"] - mean) ** 2 for s in scores) / len(scores)) ** 0.5


def test_the_candidates_of_a_problem_are_drawn_by_themselves(dataset):
    rows = rows_in(dataset)
    rewrites = [[a["text"] for a in row["attempts"] if a["step"] == "rewrite"] for row in rows]
    assert sum(len(set(texts)) for texts in rewrites) > 2 * len(rows)


def test_k_and_what_it_cost_stand_in_the_row_the_report_and_the_card(dataset):
    rows, report = rows_in(dataset), json.loads((dataset.parent / "build.json").read_text())
    assert {row["k"] for row in rows} == {K}
    assert all(row["tokens_written"] == sum(a["n_tokens"] for a in row["attempts"]) > 0 for row in rows)
    assert report["tokens_written"] == sum(row["tokens_written"] for row in rows)
    assert report["settings"]["select"]["k"] == K
    for step, each in (("rewrite", 3), ("self_solve", 2)):
        mine = [a for row in rows for a in row["attempts"] if a["step"] == step]
        assert report["attempts"][step] == {
            "written": each * len(rows),
            "passed": sum(a["scores"]["r_task"] for a in mine),
            "tokens": sum(a["n_tokens"] for a in mine),
        }
    card = (dataset.parent / "README.md").read_text()
    assert f"K = {K} candidates a sample (`both`)" in card
    assert f"{report['tokens_written'] / len(rows):.1f} |" in card


def test_a_batch_smaller_than_k_draws_no_candidate_twice(parts, tmp_path):
    recipe = write_build_recipe(
        tmp_path / "recipe.yaml",
        output=tmp_path / "out",
        method="select",
        select={"k": 6},
        **parts | {"problems": write_samples(tmp_path / "few.jsonl", 2)},
        generation={"batch_size": 2, "max_tokens": 12},
    )
    for row in rows_in(run_build(recipe)):
        texts = [attempt["text"] for attempt in row["attempts"]]
        assert texts[0:2] != texts[2:4] != texts[4:6]


def test_a_service_without_a_judge_builds_by_certain_checks_where_the_recipe_says_so(parts, tmp_path):
    with serve_app(telling_scorers(judge=None)) as running:
        here = parts | {"url": running.url}
        for method, blocks in (("sdft", {}), ("select", {"select": {"k": 2}})):
            recipe = tmp_path / f"{method}.yaml"
            write_build_recipe(recipe, output=tmp_path / method, method=method, reasoning="checks", **blocks, **here)
            dataset = run_build(recipe)
            assert {a["scores"]["gate"] for row in rows_in(dataset) for a in row["attempts"]} & {"open", "invalid"}
            assert json.loads((dataset.parent / "build.json").read_text())["settings"]["reasoning"] == "checks"
        own = {"k": 2, "rule": {"reasoning": "judge"}}
        for method, blocks in (("sdft", {}), ("select", {"select": own, "reasoning": "checks"})):
            write_build_recipe(recipe, output=tmp_path / "judged", method=method, **blocks, **here)
            with pytest.raises(ServiceTrouble, match="needs judge"):
                run_build(recipe)


def attempt(text, total, nll, *, passed=True):
    return Attempt("rewrite", text, 1, "stop", {"r_task": int(passed), "total": total, "nll": nll})


def test_equal_totals_are_told_apart_by_nll_and_then_by_order():
    assert best([]) is None and best([attempt("no", 3.0, 0.1, passed=False)]) is None
    assert best([attempt("a", 1.0, 0.1), attempt("b", 2.0, 0.9)]).text == "b"
    assert best([attempt("a", 2.0, 0.9), attempt("b", 2.0, 0.4), attempt("c", 2.0, 0.4)]).text == "b"
    assert best([attempt("a", 2.0, None), attempt("b", 2.0, 7.0)]).text == "b"
    assert best([attempt("no", 9.0, 0.1, passed=False), attempt("b", -1.0, 7.0)]).text == "b"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "sdft", "select": {"k": 4}}, "chooses among nothing"),
        ({"method": "select", "select": {"k": 1}}, r"select\.k"),
        ({"method": "select", "select": {"temperature": 0}}, r"select\.temperature"),
        ({"method": "select", "select": {"rule": {"lambda": 1}}}, r"select\.rule\.lambda"),
        ({"method": "select", "adapter": "x", "select": {"candidates": "both"}}, "a rewriter only rewrites"),
    ],
)
def test_a_block_select_that_cannot_work_is_refused_by_its_key(parts, tmp_path, changes, said):
    with pytest.raises(RecipeError, match=said):
        run_build(write_build_recipe(tmp_path / "recipe.yaml", output=tmp_path / "out", **parts, **changes))
