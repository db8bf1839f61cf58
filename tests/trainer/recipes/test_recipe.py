"""Recipes: every shipped one parses without torch, and what is wrong with one is said by name."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rewright.trainer.errors import RecipeError
from rewright.trainer.recipes.grpo import SHIPPED, Training, load_recipe
from rewright.trainer.recipes.loader import as_yaml
from rewright.trainer.recipes.pipeline import load_pipeline_recipe

ROOT = Path(__file__).resolve().parents[3]


def test_every_shipped_recipe_is_known_and_parses_without_torch():
    files = {path.stem for path in (ROOT / "trainer" / "recipes").glob("grpo-*.yaml")}
    assert files == set(SHIPPED)
    load_all = "import rewright.trainer.recipes.grpo as r; [r.load_recipe(n) for n in r.SHIPPED]"
    code = f"import sys; {load_all}; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "False"


def test_the_paper_recipe_is_the_papers():
    recipe = load_recipe("grpo-paper")
    assert (recipe.training.group_size, recipe.training.prompts_per_step) == (10, 512)
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.targets) == (64, 32, "all-linear")
    assert (recipe.prompt.max_tokens, recipe.rollouts.max_tokens, recipe.rollouts.engine) == (2048, 4096, "vllm")
    t = recipe.training
    assert (t.learning_rate, t.epochs, t.clip, t.beta, t.scale_rewards, t.loss) == (
        2e-5,
        1,
        0.2,
        0.001,
        "group",
        "grpo",
    )
    assert (recipe.corpus.draw, recipe.corpus.stage_one_share, recipe.corpus.max_sample_tokens) == (100_000, 0.5, 8192)


def test_a_resolved_recipe_reads_back_as_itself(tmp_path):
    recipe = load_recipe("grpo-paper", ["reward.variant=soft"])
    file = tmp_path / "recipe.yaml"
    file.write_text(as_yaml(recipe), encoding="utf-8")
    assert load_recipe(file) == recipe


def test_overrides_reach_blocks_lists_and_numbers():
    recipe = load_recipe(
        "grpo-small-cpu",
        [
            "training.learning_rate=1e-5",
            "corpus.sources.0.path=a.jsonl",
            "reward.min_std=0.05",
            "reward.variant=no_div",
            "reward.dist=tail",
            "reward.guards.min_length_ratio=0.2",
        ],
    )
    assert recipe.training.learning_rate == 1e-5
    assert recipe.corpus.sources[0].path == "a.jsonl"
    rule = {"variant": "no_div", "lambda_dist": 1.0, "lambda_div": 1.0, "min_std": 0.05}
    assert recipe.reward.rule() == rule | {"dist": "tail", "guards": {"min_length_ratio": 0.2}}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.group_sze=4", "training.group_sze"),
        ("trainin.group_size=4", "trainin"),
        ("training.group_size=1", "training.group_size"),
        ("reward.variant=fulll", "reward.variant"),
        ("reward.lambda_div=.nan", "reward.lambda_div"),
        ("corpus.sources=[]", "corpus.sources"),
        ("corpus.sources.0.hub=a/b", "either path"),
        ("corpus.sources.7.path=a", "count from 0"),
        ("rollouts.engine=vllm", "backbone.device"),
        ("training.group_size", "key=value"),
        ("keeping.report_to=[mlflow]", "keeping.report_to"),
    ],
)
def test_a_mistake_is_named(override, said):
    with pytest.raises(RecipeError, match=said.replace(".", r"\.")):
        load_recipe("grpo-small-cpu", [override])


@pytest.mark.parametrize(
    ("text", "said"), [(None, "there is no recipe"), ("[1, 2]", "mapping"), ("a: [", "cannot read"), ("a: 1", "corpus")]
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, said):
    file = tmp_path / "recipe.yaml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        load_recipe(file)


@pytest.mark.parametrize(
    ("prompts", "group", "micro", "ranks", "expected"),
    [(512, 10, 8, 1, 640), (512, 10, 8, 4, 160), (4, 4, 8, 1, 2), (3, 4, 4, 2, None), (4, 5, 8, 1, None)],
)
def test_whole_groups_on_every_rank_or_a_clear_refusal(prompts, group, micro, ranks, expected):
    training = Training(prompts_per_step=prompts, group_size=group, micro_batch=micro)
    if expected is None:
        with pytest.raises(RecipeError, match="training\\."):
            training.accumulation(ranks)
    else:
        assert training.accumulation(ranks) == expected
        assert micro * expected % group == 0


def test_comments_say_whose_value_it_is():
    text = (ROOT / "trainer" / "recipes" / "grpo-paper.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)["lora"]["r"] == 64
    assert text.count("# paper") > 8 and text.count("# ours") > 8


def test_overriding_a_block_changes_no_other_that_shares_its_anchor(tmp_path):
    file = tmp_path / "recipe.yaml"
    lora = "&small {r: 8, alpha: 4}"
    file.write_text(
        "corpus: {sources: [{path: a.jsonl}]}\nrewriters:\n"
        f"  one: &one {{lora: {lora}}}\n  two: *one\n  three: {{<<: *one}}\n"
        "datasets: {sft: {method: sft}}\n",
        encoding="utf-8",
    )
    rewriters = load_pipeline_recipe(file, ["rewriters.one.lora.r=16"]).rewriters
    assert [rewriters[name].lora.r for name in ("one", "two", "three")] == [16, 8, 8]
    file.write_text("corpus: &c {sources: [*c]}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="holds itself"):
        load_recipe(file)


def test_every_recipe_that_trains_a_rewriter_is_guarded_and_watched():
    recipes = [load_recipe(name) for name in SHIPPED] + [
        load_recipe(ROOT / "docs" / "experiments" / "stage-one-gpu.yaml")
    ]
    for file in [
        *(ROOT / "trainer" / "recipes").glob("pipeline-*.yaml"),
        *(ROOT / "docs" / "experiments").glob("*.yaml"),
    ]:
        if yaml.safe_load(file.read_text(encoding="utf-8"))["kind"] == "pipeline":
            recipes += load_pipeline_recipe(file).rewriters.values()
    assert len(recipes) > len(SHIPPED) + 4
    for recipe in recipes:
        assert recipe.reward.guards.min_length_ratio and recipe.reward.min_std
        assert recipe.watch.problems and recipe.watch.every <= (recipe.training.max_steps or recipe.watch.every)
