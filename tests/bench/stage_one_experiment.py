"""The Stage I experiment on one machine, in phases that can be run one by one and go on where they stopped.

    python tests/bench/stage_one_experiment.py select --model M.gguf --problems POOL.jsonl --work DIR [--judge J.gguf]
    python tests/bench/stage_one_experiment.py train  --variant full      … [--steps 40] [--lambda-div X] [--set K=V]
    python tests/bench/stage_one_experiment.py train  --variant task_only …
    python tests/bench/stage_one_experiment.py after  --variant full      …
    python tests/bench/stage_one_experiment.py after  --variant task_only …
    python tests/bench/stage_one_experiment.py all    …      everything in turn

Every phase starts the service as its own process (π0 = M; judge = J, or the embedded stand-in) and ends it. DIR holds
base/rewrites.jsonl and base/study (the selection study), runs/VARIANT (run folders with adapters and plots), and
VARIANT/rewrites.jsonl and VARIANT/study (before against after on the held-back problems).
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.sample_rewrites import read_rows  # noqa: E402
from tests.bench.selection_study import lambda_div  # noqa: E402
from tests.live_server import LiveServer, serve_process  # noqa: E402

BENCH = ROOT / "tests" / "bench"
VARIANTS = ("full", "task_only")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("phase", choices=["select", "train", "after", "all"])
    parser.add_argument("--model", required=True, help="π0: hub name, folder, .gguf or embedded")
    parser.add_argument("--judge", default="embedded", help="the service's judge: hub name, folder, .gguf or embedded")
    parser.add_argument("--judge-threshold", type=float, default=0.5, help="what `rewright judge-eval` suggests for J")
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", default=str(ROOT / "docs" / "experiments" / "stage-one-gpu.yaml"))
    parser.add_argument("--variant", default="full")
    parser.add_argument("--lambda-div", type=float, help="absent: what the selection study found")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--count", type=int, default=64, help="held-back problems")
    parser.add_argument("--k", type=int, default=8, help="candidates of each held-back problem")
    parser.add_argument("--batch", type=int, default=256, help="candidates sampled together")
    parser.add_argument("--server", help="samples in `select`: an OpenAI-compatible base URL that serves MODEL")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the recipe further")
    options = parser.parse_args()
    environment = {
        "REWRIGHT_SCORERS__NLL__MODEL": options.model,
        "REWRIGHT_SCORERS__JUDGE__MODEL": options.judge,
        "REWRIGHT_SCORERS__JUDGE__THRESHOLD": str(options.judge_threshold),
        "REWRIGHT_DEADLINE_S": "1800",
        "REWRIGHT_LOG_LEVEL": "warning",
    }
    with serve_process(environment) as server:
        if options.phase in ("select", "all"):
            _select(options, server)
        for variant in VARIANTS if options.phase == "all" else (options.variant,):
            if options.phase in ("train", "all"):
                _train(options, server, variant)
            if options.phase in ("after", "all"):
                _after(options, server, variant)
    return 0


def _select(options: argparse.Namespace, server: LiveServer) -> None:
    base = options.work / "base"
    _sample(options, base / "rewrites.jsonl", *(("--server", options.server) if options.server else ()))
    _run("selection_study.py", "--url", server.url, "--rewrites", base / "rewrites.jsonl", "--out", base / "study")


def _train(options: argparse.Namespace, server: LiveServer, variant: str) -> None:
    if options.lambda_div is None:
        _, balance = lambda_div(read_rows(options.work / "base" / "study" / "scored.jsonl"))
    else:
        balance = options.lambda_div
    settings = [
        f"backbone.model={options.model}",
        f"corpus.sources.0.path={options.problems}",
        f"reward.base_urls={server.url}",
        f"reward.variant={variant}",
        f"reward.lambda_div={round(balance, 1)}",
        f"training.max_steps={options.steps}",
        f"keeping.output={options.work / 'runs' / variant}",
        *options.set,
    ]
    pairs = [part for setting in settings for part in ("--set", setting)]
    _command([sys.executable, "-m", "rewright.trainer", "grpo", "--config", options.recipe, *pairs])


def _after(options: argparse.Namespace, server: LiveServer, variant: str) -> None:
    folder = options.work / variant
    _sample(options, folder / "rewrites.jsonl", "--adapter", options.work / "runs" / variant / "adapter")
    _run(
        "selection_study.py", "--url", server.url, "--rewrites", folder / "rewrites.jsonl", "--out", folder / "study",
        "--before", options.work / "base" / "rewrites.jsonl",
    )  # fmt: skip


def _sample(options: argparse.Namespace, out: Path, *more: object) -> None:
    sizes = ("--count", options.count, "--k", options.k, "--batch", options.batch)
    _run(
        "sample_rewrites.py", "--model", options.model, "--problems", options.problems, "--out", out, *sizes, *more
    )  # fmt: skip


def _run(script: str, *arguments: object) -> None:
    _command([sys.executable, str(BENCH / script), *map(str, arguments)])


def _command(command: list[str]) -> None:
    print(json.dumps(command), flush=True)
    subprocess.run(command, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=True)


if __name__ == "__main__":
    sys.exit(main())
