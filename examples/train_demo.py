"""Stage I end to end on this machine: the service as one process, the trainer as another. Run by `make train-demo`.

    python examples/train_demo.py [OUTPUT_FOLDER]

Trains SmolLM2-135M for eight steps on short problems (those of ../shared/data/train_pool.jsonl where it is there, else
those of examples/groups.json), then holds the run to account: it ends with an error unless there were eight steps, at
least half of the groups had rewards that differ, the adapter's weights moved and load again, and the plots are there.
The embedded judge is too small to judge, so what is learned here is of no use; that it is learned is the point.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from service_process import QUIET

from rewright.trainer.runs.own_service import own_service

HERE = Path(__file__).resolve().parent
POOL = HERE.parent.parent / "shared" / "data" / "train_pool.jsonl"
STEPS = 8


def main() -> int:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="rewright-train-demo-")) / "run"
    started = time.monotonic()
    print(f"the run folder is {output}", flush=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with own_service(output.with_name("service.log"), QUIET) as url:
        status = _train(url, output)
        if status:
            sys.exit(status)
        rewrite = _reward_of_one(url, output)
    wrong = _show(output, rewrite)
    print(f"\n{time.monotonic() - started:.0f} s in all; the adapter with its card is {output / 'adapter'}")
    for what in wrong:
        print(f"not as it should be: {what}", file=sys.stderr)
    return 1 if wrong else 0


def _train(url: str, output: Path) -> int:
    if POOL.is_file():
        problems = [f"corpus.sources.0.path={POOL}", "corpus.sources.0.answer=answer"]
    else:
        problems = [f"corpus.sources.0.path={_example_problems()}", "corpus.max_solution_characters=1000"]
        problems += ["corpus.sources.0.answer=answer", "corpus.stage_one_share=1.0", "training.epochs=8"]
    settings = [*problems, f"reward.base_urls={url}", f"keeping.output={output}", f"training.max_steps={STEPS}"]
    command = [sys.executable, "-m", "rewright.trainer", "grpo", "--config", "grpo-small-cpu"]
    for setting in settings:
        command += ["--set", setting]
    return subprocess.run(command, env={**os.environ, **QUIET}, check=False).returncode  # noqa: S603


def _example_problems() -> Path:
    groups = json.loads((HERE / "groups.json").read_text(encoding="utf-8"))["groups"]
    rows = [
        {"id": g["id"], "problem": g["problem"], "solution": g["reference"], "answer": g.get("answer")} for g in groups
    ]
    file = Path(tempfile.mkdtemp(prefix="rewright-examples-")) / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _reward_of_one(url: str, output: Path) -> dict:
    """Load the adapter onto the backbone again, as Stage II would, and have one greedy rewrite scored."""
    from rewright.trainer.data.samples import read_samples
    from rewright.trainer.models.rewriter import load_rewriter

    rewriter = load_rewriter(output / "adapter")
    sample = read_samples(output / "corpus" / "stage_one.jsonl")[0]
    text = rewriter.rewrite(sample.problem, sample.reference, max_tokens=80)
    group = {"problem": sample.problem, "reference": sample.reference, "answer": sample.answer, "candidates": [text]}
    scored = httpx.post(f"{url}/v1/reward", json={"groups": [group]}, timeout=120).json()["groups"][0]["candidates"][0]
    return {"text": text, "moved": rewriter.distance_from_backbone(), "scored": scored}


def _show(output: Path, rewrite: dict) -> list[str]:
    """Print the log, a row a step; what is not as it should be."""
    history = json.loads((output / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
    rows = [row for row in history if "reward" in row]
    print("\nstep  reward  yield  v_ans    nll  diversity  groups that differ  seconds")
    for row in rows:
        numbers = [row.get(f"rewright/{name}") for name in ("yield", "v_ans", "nll", "diversity")]
        shown = ["     -" if n is None else f"{n:6.3f}" for n in numbers]
        differ = 1 - row["frac_reward_zero_std"]
        print(f"{row['step']:>4}  {row['reward']:6.3f} {' '.join(shown)}  {differ:18.2f}  {row['step_time']:7.1f}")
    differing = sum(1 - row["frac_reward_zero_std"] for row in rows) / max(1, len(rows))
    print(f"\ngroups whose rewards differ: {differing:.0%}; the adapter's product moved by {rewrite['moved']:.2e}")
    print(f"one rewrite after training ({rewrite['scored']['gate']}):\n  {' '.join(rewrite['text'].split())[:300]}")
    wrong = []
    if len(rows) < STEPS:
        wrong.append(f"{len(rows)} steps instead of {STEPS}")
    if differing < 0.5:
        wrong.append(f"only {differing:.0%} of the groups had rewards that differ")
    if not rewrite["moved"] > 0:
        wrong.append("the adapter's weights did not move")
    wrong += [f"no plot {name}" for name in ("reward", "yield", "nll", "diversity") if not _plot(output, name)]
    return wrong


def _plot(output: Path, name: str) -> bool:
    file = output / "plots" / f"{name}.png"
    return file.is_file() and file.read_bytes().startswith(b"\x89PNG")


if __name__ == "__main__":
    sys.exit(main())
