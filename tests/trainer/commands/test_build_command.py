"""`rewright build` and `rewright merge` from the command line: flags over recipe, exit status, words for a mistake."""

import argparse
import json

import pytest

from rewright.trainer.commands.build import add, add_merge
from tests.live_server import serve_app
from tests.trainer.build.build_parts import rows_in, telling_scorers, write_build_recipe, write_samples
from tests.trainer.tiny_run import write_backbone


def command(*words):
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    add(commands)
    add_merge(commands)
    options = parser.parse_args(list(map(str, words)))
    return options.run(options)


@pytest.fixture(scope="module")
def service():
    with serve_app(telling_scorers()) as running:
        yield running


@pytest.fixture
def recipe(tmp_path, service):
    problems = write_samples(tmp_path / "problems.jsonl", 12)
    model = write_backbone(tmp_path / "model")
    return write_build_recipe(
        tmp_path / "recipe.yaml", model=model, problems=problems, url=service.url, output=tmp_path / "unused"
    )


def test_flags_win_over_the_recipe_and_shards_merge_into_the_folder_they_share(recipe, tmp_path, capsys):
    out = tmp_path / "with space: and colon"
    for shard in ("0/2", "1/2"):
        assert command("build", "--config", recipe, "--method", "sft", "--out", out, "--shard", shard) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "shards" / "1-of-2" / "dataset.jsonl")
    assert command("merge", out) == 0
    assert capsys.readouterr().out.strip() == str(out / "dataset.jsonl")
    assert len(rows_in(out / "dataset.jsonl")) == 12
    assert json.loads((out / "build.json").read_text())["method"] == "sft"
    again = tmp_path / "again"
    corpus = out / "shards" / "0-of-2" / "corpus"
    assert command("build", "--config", recipe, "--success-only", "--corpus", corpus, "--out", again) == 0
    assert {row["origin"] for row in rows_in(again / "dataset.jsonl")} == {"rewrite"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["build", "--config", "absent"], 2, "there is no recipe 'absent'"),
        (["build", "--config", "RECIPE", "--shard", "4/4"], 2, "from 0 to n - 1"),
        (["build", "--config", "RECIPE", "--method", "agent"], 2, "needs adapter"),
        (["build", "--config", "RECIPE", "--set", "service.base_urls=http://127.0.0.1:9"], 1, "cannot be used"),
        (["build", "--config", "RECIPE", "--corpus", "nowhere"], 2, "holds no finished corpus"),
        (["merge", "NOWHERE"], 2, "holds no shards"),
    ],
)
def test_a_mistake_is_told_in_words_and_by_the_status(recipe, tmp_path, capsys, *, words, status, said):
    words = [str(recipe) if w == "RECIPE" else str(tmp_path / "none") if w == "NOWHERE" else w for w in words]
    assert command(*words) == status
    shown = capsys.readouterr().err
    assert "rewright: " in shown and said in shown and "Traceback" not in shown
