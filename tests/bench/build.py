"""How busy a build keeps its two sides: the model that writes, and the service that scores. One table, two cases.

    python tests/bench/build.py [--problems 96] [--out FOLDER]

    generation is dear    SmolLM2-135M writes up to 64 tokens; the service scores on the embedded models
    scoring is dear       a random model of a few thousand weights writes 8 tokens; the same service

Each is a whole `rewright build` against a service in a process of its own, on the same cores. Busy seconds are those
that build.json has: time in the model, and time with at least one request under way, over the seconds of the stream
from its first prompt to its last row. The load of the machine is printed with them. Needs ../shared/data.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
POOL = ROOT.parent / "shared" / "data" / "train_pool.jsonl"
sys.path.insert(0, str(ROOT))
SHORT = 150
"""Longest solution, characters: what the embedded model can rewrite."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=96)
    parser.add_argument("--out", type=Path, default=None, help="keep the datasets here")
    options = parser.parse_args()
    if not POOL.is_file():
        print(f"the public test data is absent: {POOL.name} is expected in ../shared/data beside the checkout")
        return 1
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"}
    from tests.live_server import serve_process
    from tests.trainer.tiny_run import write_backbone

    folder = options.out or Path(tempfile.mkdtemp(prefix="rewright-bench-build-"))
    tiny = str(write_backbone(folder / "tiny"))
    cases = {
        "generation is dear": {"backbone": {"model": "embedded"}, "generation": {"batch_size": 4, "max_tokens": 64}},
        "scoring is dear": {"backbone": {"model": tiny}, "generation": {"batch_size": 4, "max_tokens": 8}},
    }
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(
        f"{'case':<20} {'rows':>5} {'seconds':>8} {'rows/s':>7} {'generator busy':>15} {'service busy':>13} {'load':>5}"
    )
    with serve_process({"REWRIGHT_LOG_LEVEL": "warning"}) as server:
        for name, blocks in cases.items():
            report = built(folder / name.replace(" ", "-"), server.url, options.problems, blocks)
            seconds = report["seconds"]
            print(
                f"{name:<20} {report['rows']:>5} {seconds:>8.1f} {report['rows'] / seconds:>7.2f} "
                f"{report['generator_busy']:>14.1%} {report['service_busy']:>12.1%} {os.getloadavg()[0]:>6.1f}",
                flush=True,
            )
    return 0


def built(folder, url, problems, blocks):
    """build.json of one build."""
    folder.mkdir(parents=True)
    recipe = {
        "method": "sdft",
        "backbone": {"device": "cpu", "precision": "float32", **blocks["backbone"]},
        "corpus": {
            "sources": [{"path": str(POOL), "answer": "answer"}],
            "draw": problems,
            "stage_one_share": 0,
            "max_solution_characters": SHORT,
        },
        "prompt": {"file": "rewrite-small-v1", "max_tokens": 400},
        "service": {"base_urls": [url]},
        "generation": {"engine": "transformers", **blocks["generation"]},
        "keeping": {"output": str(folder / "dataset")},
    }
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "rewright.clients.cli.main", "build", "--config", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return json.loads((folder / "dataset" / "build.json").read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
