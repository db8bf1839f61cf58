"""Best of K beside the baselines that train nothing either: yield, NLL at like length, D and what was written for it.

    python tests/bench/select_builds.py --model MODEL --problems train_pool.jsonl --out FOLDER [--count 48] [--k 8]
        [--max-tokens 256] [--max-solution 300] [--judge MODEL]

A service is started with MODEL as π0, and as its judge unless another is named. Each method is a whole `rewright build`
on the same problems, those of the side of the split that Stage I never sees. What is built already is read, so that a
run can be gone on with. The table has, for each method:

    yield         share of problems with a candidate that passed, and of the candidates by their origin
    NLL           mean of eq. 6 over the rows that passed, and over the references of the same rows
    like length   the same over the first n tokens of both, n the length of the shorter: longer texts have lower means
    D             eq. 10 over up to 64 rows
    tokens        written for one problem on average, and for one problem that passed
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.clients.http_client import RewardClient  # noqa: E402
from rewright.trainer.build.build import build  # noqa: E402
from rewright.trainer.recipes.build import BuildRecipe  # noqa: E402
from tests.live_server import serve_process  # noqa: E402


def methods(k: int) -> dict[str, dict[str, Any]]:
    rule = {"min_std": 0.03}
    return {
        "sdft": {"method": "sdft"},
        "mind_the_gap": {"method": "mind_the_gap"},
        "mind_the_gap_guided": {"method": "mind_the_gap_guided"},
        f"select, {k} rewrites": {"method": "select", "select": {"k": k, "rule": rule}},
        f"select, {k} of both": {"method": "select", "select": {"k": k, "candidates": "both", "rule": rule}},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--problems", type=Path, required=True, help="JSONL with problem, solution, answer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=48)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--max-solution", type=int, default=300, help="characters")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--judge", help="the judge's model, where it is another")
    options = parser.parse_args()
    service = {
        "REWRIGHT_SCORERS__NLL__MODEL": options.model,
        "REWRIGHT_SCORERS__JUDGE__MODEL": options.judge or options.model,
        "REWRIGHT_DEADLINE_S": "900",
        "REWRIGHT_LOG_LEVEL": "warning",
    }
    print(
        "| method | yield | of the candidates | NLL | references | like length | references | D | tokens | per passed |"
    )
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    with serve_process(service) as server, RewardClient(server.url, deadline_s=None, request_s=900) as client:
        for name, blocks in methods(options.k).items():
            dataset = build(recipe(blocks, options, url=server.url))
            print(line(name, dataset, client), flush=True)
    return 0


def recipe(blocks: dict[str, Any], options: argparse.Namespace, *, url: str) -> BuildRecipe:
    what = blocks["method"] + ("-" + blocks["select"].get("candidates", "rewrites") if "select" in blocks else "")
    return BuildRecipe.model_validate(
        {
            **blocks,
            "backbone": {"model": options.model, "precision": "float32"},
            "corpus": {
                "sources": [{"path": str(options.problems), "answer": "answer"}],
                "draw": 2 * options.count,
                "max_solution_characters": options.max_solution,
            },
            "prompt": {"file": "rewrite-v1", "max_tokens": 768},
            "service": {"base_urls": [url], "patience_s": 1800},
            "generation": {
                "engine": "transformers",
                "batch_size": options.batch,
                "max_tokens": options.max_tokens,
            },
            "keeping": {"output": str(options.out / what)},
        }
    )


def line(name: str, dataset: Path, client: RewardClient) -> str:
    report = json.loads((dataset.parent / "build.json").read_text(encoding="utf-8"))
    rows = [json.loads(text) for text in dataset.read_text(encoding="utf-8").splitlines()]
    passed = [row for row in rows if row["origin"] != "reference"]
    by_step = ", ".join(f"{step} {n['passed']}/{n['written']}" for step, n in report["attempts"].items())
    like = [pair for row in passed if (pair := at_like_length(row, client)) is not None]
    written = report["tokens_written"]
    cells = [
        f"{len(passed)}/{len(rows)} = {len(passed) / len(rows):.3f}",
        by_step,
        mean([row["nll"] for row in passed]),
        mean([row["reference_nll"] for row in passed]),
        mean([own for own, _ in like]),
        mean([reference for _, reference in like]),
        f"{report['diversity']['completions'] or 0:.4f}",
        f"{written / len(rows):.0f}",
        f"{written / len(passed):.0f}" if passed else "-",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def at_like_length(row: dict[str, Any], client: RewardClient) -> tuple[float, float] | None:
    """Nats a token of the completion and of the reference over as many tokens as the shorter has; None where one has
    no NLL."""
    texts = [row["completion"][-1]["content"], row["reference"]]
    group = {"problem": row["prompt"][-1]["content"], "candidates": texts}
    items = client.nll([group], tokens=True).groups[0].candidates
    logprobs = [[t.logprob for t in item.tokens or []] for item in items if item.status == "scored"]
    if len(logprobs) < len(texts):
        return None
    n = min(map(len, logprobs))
    own, reference = (-statistics.fmean(each[:n]) for each in logprobs)
    return own, reference


def mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.fmean(known):.3f}" if known else "-"


if __name__ == "__main__":
    sys.exit(main())
