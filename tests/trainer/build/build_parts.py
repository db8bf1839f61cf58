"""What the tests of the builder share: recipes of builds that take seconds, builds as killable processes, verdicts that
are told by the text."""

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import yaml

from tests.clients.scorers_by_text import NllByText, fate
from tests.plain_scorers import PlainVerifier, plain_scorers

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "rewright.trainer.build.build",
        "rewright.trainer.generation.transformers_engine",
        "transformers",
        "peft",
        "matplotlib",
    ]
)


class TellingVerifier(PlainVerifier):
    """Wrong or correct by the text's hash; a gold answer `unreadable` is none."""

    def _group(self, group, tokens):
        from rewright.service.schema import Failed, VerifyGroup, VerifyScored

        if group.answer == "unreadable":
            failed = Failed.because("bad_gold", "as the test says", retryable=False)
            return VerifyGroup(id=group.id or "", candidates=[failed] * len(group.candidates))
        verdicts = ["correct" if fate(text) == "correct" else "wrong" for text in group.candidates]
        items = [VerifyScored(correct=v == "correct", verdict=v) for v in verdicts]
        return VerifyGroup(id=group.id or "", candidates=items)


def telling_scorers(**options: Any) -> Any:
    return plain_scorers(verify=TellingVerifier(**options), nll=NllByText())


def write_samples(file: Path, count: int = 40, **changes: Any) -> Path:
    rows = [
        {"id": f"p{n}", "problem": f"What is {n} plus {n}?", "solution": f"It is \\boxed{{{2 * n}}}.", "answer": 2 * n}
        | changes
        for n in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def write_build_recipe(file: Path, *, model: Path, problems: Path, url: str, output: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {
        "method": "sdft",
        "backbone": {"model": str(model), "device": "cpu", "precision": "float32"},
        "corpus": {"sources": [{"path": str(problems), "answer": "answer"}], "stage_one_share": 0},
        "prompt": {"file": "rewrite-small-v1", "max_tokens": 400},
        "solve_prompt": "solve-small-v1",
        "service": {"base_urls": [url], "patience_s": 60},
        "generation": {"engine": "transformers", "batch_size": 2, "max_tokens": 6},
        "keeping": {"output": str(output)},
    }
    for name, change in changes.items():
        content[name] = content[name] | change if isinstance(change, dict) else change
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def run_build(recipe: Path, shard: str | None = None) -> Path:
    from rewright.trainer.build.build import build
    from rewright.trainer.recipes.build import Shard, load_build_recipe

    return build(load_build_recipe(recipe), shard=Shard.parse(shard) if shard else None)


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def start_build(recipe: Path, *, largest_file: int | None = None) -> Any:
    """In a process of its own, which can be killed."""
    process = FORKS.Process(target=_build_quietly, args=(recipe, largest_file))
    process.start()
    return process


def wait_until(what: Any, *, patience_s: float = 90.0) -> None:
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.005)


def _build_quietly(recipe: Path, largest_file: int | None) -> None:
    import resource
    import sys

    from rewright.trainer.errors import ServiceTrouble, TrainerError

    os.environ["HF_HUB_OFFLINE"] = "1"
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.stderr = (recipe.parent / "said.txt").open("w", encoding="utf-8")
    try:
        run_build(recipe)
    except ServiceTrouble as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except TrainerError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
