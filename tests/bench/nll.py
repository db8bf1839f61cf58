"""π0's NLL of 12 real groups (72 candidates) by every way that a user could choose: one table, one run, one machine.

    python tests/bench/nll.py [--lm-eval-python PATH] [--vllm-python PATH] [--rows NAME …] [--repeats 2] [--out FILE]

Each row runs in a process of its own, warmed up on one group, and gets the same token ids. Rows of software that the
given interpreters do not have are left out, saying so. `GEMM limit` is the time that the model's matrix products alone
take on its own shapes, each token once, if every pass were as fast as the fastest: nothing that computes them can be
faster. `the products, run for all tokens` is what they take when all of them are run. Needs ../shared/data.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROWS = Path(__file__).with_name("nll_rows.py")
DATA = ROOT.parent / "shared" / "data" / "groups.jsonl"
ORDER = (
    "gemm-limit", "padded-full", "padded-targets", "lm-eval", "vllm", "in-process", "http",
    "products", "gemm-limit-again", "memory",
)  # fmt: skip
TITLES = {
    "gemm-limit": "GEMM limit",
    "products": "the products, run for all tokens",
    "gemm-limit-again": "GEMM limit, measured again",
    "padded-full": "padded, full log-softmax",
    "padded-targets": "padded, target rows",
    "lm-eval": "lm-eval HFLM loglikelihood",
    "vllm": "vLLM over HTTP, prompt_logprobs",
    "in-process": "this scorer, in process",
    "http": "this scorer, over /v1/nll",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lm-eval-python")
    parser.add_argument("--vllm-python")
    parser.add_argument("--rows", nargs="+", choices=ORDER, default=list(ORDER))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not DATA.is_file():
        print(f"the public test data is absent: {DATA.name} is expected in ../shared/data beside the checkout")
        return 1
    job = subprocess.run([sys.executable, ROWS, "prepare"], check=True, capture_output=True, text=True, env=_env())
    others = {"lm-eval": options.lm_eval_python, "vllm": options.vllm_python}
    results = {}
    for name in (name for name in ORDER if name in options.rows):
        interpreter = others.get(name, sys.executable)
        if interpreter is None:
            print(f"{TITLES[name]}: left out, give --{name}-python", file=sys.stderr)
            continue
        command = [interpreter, ROWS, name.removesuffix("-again"), str(options.repeats)]
        done = subprocess.run(command, input=job.stdout, capture_output=True, text=True, env=_env(), check=False)
        if done.returncode:
            print(f"{TITLES.get(name, name)}: failed\n{done.stderr[-1500:]}", file=sys.stderr)
            continue
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {results[name].get('seconds', 0):.1f} s", file=sys.stderr, flush=True)
    _print(json.loads(job.stdout), results)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1))
    return 0


def _env():
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}


def _print(job, results):
    texts = [ids for tree in job["trees"] for ids in tree["candidates"]]
    targets = sum(map(len, texts))
    limits = [results[name]["seconds"] for name in ("gemm-limit", "gemm-limit-again") if name in results]
    limit = min(limits, default=None)
    exact = results.get("padded-full", {}).get("nll")
    print(f"{len(job['trees'])} groups, {len(texts)} candidates, {targets} target tokens, bfloat16")
    print(f"{'':<34}{'seconds':>9}{'targets/s':>11}{'of GEMM limit':>15}{'mean |Δ nll|':>14}")
    for name, row in results.items():
        if name == "memory":
            continue
        share = "" if limit is None else f"{limit / row['seconds']:.1%}"
        off = ""
        if exact and row.get("nll"):
            off = f"{sum(abs(a - b) for a, b in zip(row['nll'], exact, strict=True)) / len(exact):.1e}"
        print(f"{TITLES[name]:<34}{row['seconds']:>9.2f}{targets / row['seconds']:>11.0f}{share:>15}{off:>14}")
    if "memory" in results:
        print(f"peak memory over weights, 8 candidates of 4,000 tokens: {results['memory']['mib']:.0f} MiB")
    print(f"Δ nll: against the row {TITLES['padded-full']!r}")
    model = next((line for line in _cpuinfo() if line.startswith("model name")), "").partition(":")[2].strip()
    print(f"ran on {model or platform.processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end")


def _cpuinfo():
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


if __name__ == "__main__":
    sys.exit(main())
