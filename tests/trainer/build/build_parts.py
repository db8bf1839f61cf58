"""What the tests of the builder share: recipes of builds that take seconds, builds as killable processes, verdicts that
are told by the text.
"""

import json
import resource
from pathlib import Path
from typing import Any

import yaml

from tests.clients.scorers_by_text import NllByText, fate
from tests.plain_scorers import PlainVerifier, plain_scorers
from tests.warm_process import WarmProcess


class TellingVerifier(PlainVerifier):
    """Wrong or correct by the text's hash, a reference always correct; a gold `unreadable` is none, and nobody gives
    `another`.
    """

    def _group(self, group, tokens):
        from rewright.service.schema import Failed, VerifyGroup, VerifyScored

        if group.answer == "unreadable":
            failed = Failed.because("bad_gold", "as the test says", retryable=False)
            return VerifyGroup(id=group.id or "", candidates=[failed] * len(group.candidates))
        right = {text for text in group.candidates if text == group.reference or fate(text) == "correct"}
        right = set() if group.answer == "another" else right
        verdicts = ["correct" if text in right else "wrong" for text in group.candidates]
        items = [VerifyScored(correct=v == "correct", verdict=v) for v in verdicts]
        return VerifyGroup(id=group.id or "", candidates=items)


def telling_scorers(verifier: PlainVerifier | None = None, **replaced: Any) -> Any:
    return plain_scorers(verify=verifier or TellingVerifier(), nll=NllByText(), **replaced)


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
        content[name] = (content.get(name) or {}) | change if isinstance(change, dict) else change
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file


def run_build(recipe: Path, shard: str | None = None) -> Path:
    from rewright.trainer.build.build import build
    from rewright.trainer.recipes.build import Shard, load_build_recipe

    return build(load_build_recipe(recipe), shard=Shard.parse(shard) if shard else None)


def rows_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def start_build(recipe: Path, *, largest_file: int | None = None) -> WarmProcess:
    """`rewright build` in a process of its own, which can be killed; what it says is in said.txt beside the recipe.

    largest_file: bytes that it may write into one file, as if the disk were full then.
    """
    said = recipe.parent / "said.txt"
    process = WarmProcess("rewright.clients.cli.main", "build", "--config", recipe, output=said)
    if largest_file is not None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    return process
