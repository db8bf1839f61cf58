"""The controlled world from beginning to end, by the product's own commands: `make study-small`, `make study`.

    python -m examples.study.study [small|large] [--seeds 17 18 19] [--folder build/study] [--until go]

    1. a model is pretrained (once); 2. of 64 problems with 8 rewrites each, at least half of the groups must be mixed,
    else there is nothing to learn from; 3. for each seed, `rewright pipeline` on the recipe: Stage I, data sets, SFT,
    evaluation; 4. tables with paired intervals.

Whatever is done is found done: the same command goes on after a kill. `FOLDER/FORM/results.md`, `.json` and `.png` are
written after each seed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from examples.service_process import QUIET, running_service
from examples.study.figure import draw
from examples.study.measures import spread
from examples.study.pretrain import STEPS, pretrain
from examples.study.tables import write_results
from examples.study.world import problems, questions
from rewright.clients.http_client import RewardClient

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "examples" / "study"
PRETRAINING_SEED = 17
GO_PROBLEMS = 64
LEAST_MIXED = 0.5
SIZES = {"small": (800, 500, 500), "large": (2400, 1000, 1000)}
"""Problems, arithmetic and general questions; a recipe draws fewer problems, and half of those are for Stage I."""
LOSSES = {
    "dft": "{dft: {method: sft}, mind_the_gap_dft: {method: mind_the_gap}}",
    "importance": "{mind_the_gap_importance: {method: mind_the_gap}}",
}
"""Data sets that are trained on with another loss, in the larger form."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("form", choices=list(SIZES), nargs="?", default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[17])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "study")
    parser.add_argument("--until", choices=("model", "go"), help="stop after this step")
    options = parser.parse_args()
    # What is under way ends with it: the service above all.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    model = pretrain(options.folder / "model", steps=STEPS, seed=PRETRAINING_SEED)
    if options.until == "model":
        return 0
    settings = {"REWRIGHT_SCORERS__NLL__MODEL": str(model), "REWRIGHT_SCORERS__JUDGE__WHERE": "off"}
    with (
        running_service(settings | {"REWRIGHT_DEADLINE_S": "900"}) as url,
        RewardClient(url, deadline_s=None) as client,
    ):
        go(options.folder / "go", model, url)
        if options.until == "go":
            return 0
        works = []
        for seed in options.seeds:
            work = options.folder / options.form / f"seed-{seed}"
            run_seed(work, options.form, model, url, seed=seed)
            works.append(work)
            form = options.folder / options.form
            print(write_results(works, client, form).read_text(encoding="utf-8"), flush=True)
            draw(form / "results.json", form / "results.png")
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


def go(folder: Path, model: Path, url: str) -> None:
    """Whether a rewriter could learn anything: the product's `select` of 8 on 64 problems. Ends the study where not."""
    file = write_rows(folder / "problems.jsonl", problems(GO_PROBLEMS, seed=1))
    command(
        "build", "--config", str(HERE / "go.yaml"),
        sets=(f"backbone.model={model}", f"corpus.sources.0.path={file}", f"service.base_urls={url}",
              f"keeping.output={folder / 'select'}"),
    )  # fmt: skip
    rows = {row["id"]: row for row in map(json.loads, (folder / "select" / "dataset.jsonl").open(encoding="utf-8"))}
    mixed = spread(rows)
    print(f"of {len(rows)} groups of 8 rewrites, {mixed:.0%} are mixed", flush=True)
    if mixed < LEAST_MIXED:
        sys.exit(
            f"no go: fewer than {LEAST_MIXED:.0%} of the groups have 1 to 7 right, so there is little to learn from"
        )


def run_seed(work: Path, form: str, model: Path, url: str, *, seed: int) -> None:
    """`rewright pipeline` on this seed's problems and questions."""
    count, arithmetic, general = SIZES[form]
    drawn = problems(count, seed=seed)
    asked = questions(arithmetic, general, seed=seed, avoid=[row["problem"] for row in drawn])
    recipe = HERE / f"{form}.yaml"
    sets = [
        f"work={work / 'work'}", f"backbone.model={model}", f"service.base_urls={url}",
        f"corpus.sources.0.path={write_rows(work / 'problems.jsonl', drawn)}",
        f"evaluate.data={write_rows(work / 'questions.jsonl', asked)}",
        f"corpus.seed={seed}", f"generation.seed={seed}", f"sft.training.seed={seed}",
    ]  # fmt: skip
    rewriters = yaml.safe_load(recipe.read_text(encoding="utf-8"))["rewriters"]
    seeds = [f"rewriters.{name}.training.seed={seed}" for name in rewriters]
    command("pipeline", "--config", str(recipe), sets=[*sets, *seeds])
    for loss, datasets in LOSSES.items() if form == "large" else ():
        other = [f"sft.training.loss={loss}", f"datasets={datasets}", "rewriters={}"]
        command("pipeline", "--config", str(recipe), sets=[*sets, *other])


def command(*words: str, sets: Sequence[str]) -> None:
    """One of `rewright`'s; what it says goes where this says."""
    line = [sys.executable, "-m", "rewright.clients.cli.main", *words]
    line += [part for setting in sets for part in ("--set", setting)]
    if status := subprocess.run(line, cwd=ROOT, env={**os.environ, **QUIET}, check=False).returncode:  # noqa: S603
        sys.exit(status)


def write_rows(file: Path, rows: Sequence[object]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.exit(main())
