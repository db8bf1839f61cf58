"""One service and several pipelines beside one another on one machine, each with a part of a recipe's data sets.

    python tests/bench/pipelines_beside.py --model MODEL --problems POOL.jsonl --questions EVAL.jsonl --work DIR
        [--config docs/experiments/one-gpu-minutes.yaml] [--part agent --part sft,sdft,…] [--judge-threshold 0.3]
        [--embedder FOLDER] [--seconds 480] [--set KEY=VALUE …]

A small model leaves a GPU waiting for its launches, for verification and for files, so that parts side by side end
sooner than one after another. A part is a list of the recipe's data sets; it has a folder of its own under DIR, trains
the rewriters that it needs, and goes on where it was stopped. After --seconds every part is told to end. Then the
reports of what is there are written, and DIR/kept.tar.gz holds all that is small.
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.live_server import serve_process  # noqa: E402

RECIPE = ROOT / "docs" / "experiments" / "one-gpu-minutes.yaml"
PARTS = ("agent", "fast", "task_only", "sft,sdft,mind_the_gap,select")
LARGE = ("*.safetensors", "*.pt", "*.pth", "*.bin", "tokenizer.json", "events.out.*")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--problems", type=Path, required=True)
    parser.add_argument("--questions", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=RECIPE)
    parser.add_argument("--part", action="append", default=[])
    parser.add_argument("--judge-threshold", type=float, default=0.3)
    parser.add_argument("--embedder", default="embedded")
    parser.add_argument("--seconds", type=float, default=480)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    started = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    environment = {
        "REWRIGHT_SCORERS__NLL__MODEL": options.model,
        "REWRIGHT_SCORERS__JUDGE__MODEL": options.model,
        "REWRIGHT_SCORERS__JUDGE__THRESHOLD": str(options.judge_threshold),
        "REWRIGHT_SCORERS__DIVERSITY__MODEL": options.embedder,
        "REWRIGHT_DEADLINE_S": "600",
    }
    with serve_process(environment) as server:
        print(f"{time.monotonic() - started:.0f} s: the service is ready", flush=True)
        parts = {name: part(options, name.split(","), server.url) for name in options.part or PARTS}
        wait(parts, started, options.seconds)
        (options.work / "service.log").write_bytes(server.log.read_bytes()[-200_000:])
    for name in parts:
        command(["report", folder(options, name), "--out", folder(options, name) / "report-so-far"])
    with tarfile.open(options.work / "kept.tar.gz", "w:gz") as tar:
        tar.add(options.work, "kept", filter=small)
    return 0


def small(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if any(Path(member.name).match(each) for each in LARGE) else member


def folder(options: argparse.Namespace, name: str) -> Path:
    return options.work / name.replace(",", "-")


def part(options: argparse.Namespace, datasets: list[str], url: str) -> "subprocess.Popen[bytes]":
    recipe = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    recipe["datasets"] = {name: recipe["datasets"][name] for name in datasets}
    needed = {each.get("rewriter") for each in recipe["datasets"].values()}
    recipe["rewriters"] = {name: each for name, each in recipe["rewriters"].items() if name in needed}
    out = folder(options, ",".join(datasets))
    out.mkdir(parents=True, exist_ok=True)
    config = out / "pipeline.yaml"
    config.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    settings = [
        f"work={out}", f"backbone.model={options.model}", f"corpus.sources.0.path={options.problems}",
        f"evaluate.data={options.questions}", f"service.base_urls={url}",
        *(each for each in options.set if not each.startswith("rewriters.") or each.split(".")[1] in needed),
    ]  # fmt: skip
    pairs = [word for setting in settings for word in ("--set", setting)]
    log = (out / "pipeline.log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "rewright.clients.cli.main", "pipeline", "--config", str(config), *pairs],
        cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdout=log, stderr=log,
    )  # fmt: skip


def wait(parts: dict[str, "subprocess.Popen[bytes]"], started: float, seconds: float) -> None:
    left = dict(parts)
    while left and time.monotonic() - started < seconds:
        for name, process in list(left.items()):
            if process.poll() is not None:
                print(f"{time.monotonic() - started:.0f} s: {name} ended with {process.returncode}", flush=True)
                del left[name]
        time.sleep(0.5)
    for name, process in left.items():
        print(f"{time.monotonic() - started:.0f} s: {name} is told to end", flush=True)
        process.send_signal(signal.SIGTERM)
    for process in left.values():
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def command(arguments: list[object]) -> None:
    words = [sys.executable, "-m", "rewright.clients.cli.main", *map(str, arguments)]
    subprocess.run(words, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, check=False)


if __name__ == "__main__":
    sys.exit(main())
