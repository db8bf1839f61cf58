"""Whole steps of `grpo-small-cpu` with its service beside: TRL's own trainer and ours, on the same problems, one table.

    python tests/bench/grpo_whole_step.py [--steps 3] [--data FILE.jsonl] [--set KEY=VALUE …]

Real problems (../shared/data/problems.jsonl) and the embedded models. Both get the same prompts and stop tokens of our
renderer; TRL's way generates with `generate` and computes every prompt K times. The first step has warm-ups and our
measurement of ourselves; the table is the mean of the others. Seconds are the trainer's own `step_time`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data" / "problems.jsonl"
WAYS = ("TRL", "ours")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--way", choices=WAYS, help="one way alone, against the service at --url, into --output")
    parser.add_argument("--url")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if not options.data.is_file():
        print(f"the public test data is absent: {DATA.name} is expected in ../shared/data beside the checkout")
        return 1
    if options.way:
        return one_way(options)
    from tests.live_server import serve_process

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.steps} steps each, the first left out")
    print(f"{'way':>5} {'step s':>8} {'rewards s':>10} {'share':>6} {'tokens':>7}  of each step")
    seconds = {}
    with serve_process({}) as server, tempfile.TemporaryDirectory() as folder:
        for way in WAYS:
            output = Path(folder) / way
            arguments = [f"--way={way}", f"--url={server.url}", f"--output={output}", f"--steps={options.steps}"]
            arguments += [f"--data={options.data}", *(f"--set={each}" for each in options.set)]
            with (Path(folder) / f"{way}.log").open("w+") as log:
                done = subprocess.run(
                    [sys.executable, __file__, *arguments], cwd=ROOT, stdout=log, stderr=log, check=False
                )
                if done.returncode:
                    log.seek(0)
                    print(log.read()[-3000:])
                    return 1
            state = json.loads((output / "trainer_state.json").read_text(encoding="utf-8"))
            rows = [row for row in state["log_history"] if "step_time" in row][1:]
            seconds[way] = mean(rows, "step_time")
            waited = mean(rows, "rewright/seconds_waited")
            each = ", ".join(f"{row['step_time']:.1f}" for row in rows)
            print(
                f"{way:>5} {seconds[way]:>8.1f} {waited:>10.2f} {waited / seconds[way]:>6.1%} "
                f"{mean(rows, 'completions/mean_length'):>7.0f}  {each}",
                flush=True,
            )
    print(f"{seconds['TRL'] / seconds['ours']:.2f} times faster")
    return 0


def mean(rows, name):
    return statistics.fmean(row[name] for row in rows)


def one_way(options):
    from trl.trainer.grpo_trainer import GRPOTrainer

    from rewright.trainer.grpo import trainer as room
    from rewright.trainer.grpo.rendered_prompts import RenderedPrompts
    from rewright.trainer.grpo.train import train
    from rewright.trainer.recipes.grpo import load_recipe

    class AsInTrl(RenderedPrompts, GRPOTrainer):
        """The same prompts, TRL's own rollouts and log-probabilities."""

    if options.way == "TRL":
        room.RewriterTrainer = AsInTrl
    settings = [
        f"corpus.sources.0.path={options.data}", f"reward.base_urls={options.url}", "watch.problems=0",
        f"training.max_steps={options.steps}", f"keeping.output={options.output}", *options.set,
    ]  # fmt: skip
    train(load_recipe("grpo-small-cpu", settings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
