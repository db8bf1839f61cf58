"""What would `full`, `task_only` and chance pick from the same candidates? Yield, nll and diversity, with intervals.

    python tests/bench/selection_study.py --url URL --rewrites rewrites.jsonl --out study
        [--before other.jsonl]

Every candidate is scored once (study/scored.jsonl is kept and read back): /v1/reward for the gated components, /v1/nll
for all of them. Then, for each problem, each rule picks the best candidate and the best half of the K; ties are broken
at random and averaged over many draws. Reported are means over problems with 95 % bootstrap intervals over problems,
and the differences between rules, paired by problem. With --before, the two files' own means are compared as well:
candidates of a trained rewriter against those of its backbone.

`full` appears twice: with λ_div = 1, and with the λ_div at which r_div deviates inside a group as much as r_dist does.
Not a result about training: it says what the reward prefers, not what GRPO makes of it.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.clients.http_client import RewardClient  # noqa: E402
from rewright.clients.reward_statistics import statistics_of, suggested_lambda_div  # noqa: E402
from rewright.clients.wire import RewardGroup  # noqa: E402
from tests.bench.sample_rewrites import read_rows  # noqa: E402

DRAWS = 16
RESAMPLES = 2000
Rule = Callable[[dict[str, Any]], float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rewrites", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with RewardClient(options.url, deadline_s=None, request_s=600, batch_candidates=32) as client:
        scored = score(client, options.rewrites, options.out / "scored.jsonl")
        before = score(client, options.before, options.out / "scored-before.jsonl") if options.before else None
        lines = [*summary(scored), "", *picks(client, scored)]
    if before is not None:
        lines += ["", *compared(before, scored)]
    text = "\n".join(lines)
    (options.out / "report.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def score(client: RewardClient, rewrites: Path, kept: Path) -> list[dict[str, Any]]:
    """Rows with `reward` (a group of /v1/reward) and `nll` (a number or null for every candidate)."""
    rows = read_rows(kept)
    there = {row["id"] for row in rows}
    missing = [row for row in read_rows(rewrites) if row["id"] not in there]
    groups = [{key: row[key] for key in ("id", "problem", "reference", "answer", "candidates")} for row in missing]
    with kept.open("a", encoding="utf-8") as out:
        for start in range(0, len(groups), 16):
            some = groups[start : start + 16]
            rewards = client.reward(some).groups
            nlls = client.nll(some).groups
            for row, reward, nll in zip(missing[start : start + 16], rewards, nlls, strict=True):
                values = [item.nll if item.status == "scored" else None for item in nll.candidates]
                new = row | {"reward": reward.model_dump(mode="json"), "nll": values}
                out.write(json.dumps(new, ensure_ascii=False) + "\n")
                rows.append(new)
            out.flush()
            print(f"scored {start + len(some)} of {len(groups)}", file=sys.stderr, flush=True)
    return rows


def lambda_div(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, float], float]:
    numbers = statistics_of([RewardGroup.model_validate(row["reward"]) for row in rows])
    return numbers, suggested_lambda_div(numbers) or 1.0


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    numbers, balanced = lambda_div(rows)
    candidates = sum(len(row["candidates"]) for row in rows)
    shown = "\n".join(f"| {name} | {value:.5f} |" for name, value in numbers.items())
    return [
        f"{len(rows)} problems, {candidates} candidates; λ_div that balances the in-group deviations: {balanced:.1f}",
        "",
        f"| all candidates | mean |\n|---|---:|\n{shown}",
    ]


def picks(client: RewardClient, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table of rules, and their paired differences from `task_only`."""
    _, balanced = lambda_div(rows)
    rules: dict[str, Rule] = {
        "full, λ_div = 1": lambda c: _total(c, 1.0, 1.0),
        f"full, λ_div = {balanced:.0f}": lambda c: _total(c, 1.0, balanced),
        "no_div": lambda c: _total(c, 1.0, 0.0),
        "task_only": lambda c: _total(c, 0.0, 0.0),
        "chance": lambda c: 0.0,
    }
    found = {name: _picked(client, rows, rule) for name, rule in rules.items()}
    lines = [
        "| picks the best of K | yield | nll of the feasible pick | D of the best half |",
        "|---|---:|---:|---:|",
    ]
    for name, by_problem in found.items():
        lines.append(f"| {name} | " + " | ".join(_interval(by_problem, m) for m in METRICS) + " |")
    lines += ["", "| minus task_only, same problems | yield | nll | D |", "|---|---:|---:|---:|"]
    for name, by_problem in found.items():
        if name != "task_only":
            paired = _minus(by_problem, found["task_only"])
            lines.append(f"| {name} | " + " | ".join(_interval(paired, m) for m in METRICS) + " |")
    return lines


METRICS = ("yield", "nll", "D")
PerProblem = list[dict[str, float | None]]


def _picked(client: RewardClient, rows: Sequence[dict[str, Any]], rule: Rule) -> PerProblem:
    """For each problem: share of draws whose pick is feasible, mean nll of feasible picks, D of the best half."""
    dice = random.Random(17)
    result: PerProblem = []
    halves = []
    for row in rows:
        items = row["reward"]["candidates"]
        tops, half_of = [], []
        for _ in range(DRAWS):
            order = sorted(range(len(items)), key=lambda k: (-rule(items[k]), dice.random()))
            tops.append(order[0])
            half_of.append(tuple(sorted(order[: len(order) // 2])))
        feasible = [k for k in tops if items[k]["r_task"] == 1]
        nlls = [row["nll"][k] for k in feasible if row["nll"][k] is not None]
        result.append({"yield": len(feasible) / DRAWS, "nll": statistics.fmean(nlls) if nlls else None, "D": None})
        halves.append(half_of)
    for n, (row, half_of) in enumerate(zip(rows, halves, strict=True)):
        distinct = sorted(set(half_of))
        groups = [
            {"id": str(i), "candidates": [row["candidates"][k] or "-" for k in ks]} for i, ks in enumerate(distinct)
        ]
        values = {ks: g.diversity for ks, g in zip(distinct, client.diversity(groups).groups, strict=True)}
        known = [values[ks] for ks in half_of if values[ks] is not None]
        result[n]["D"] = statistics.fmean(known) if known else None
    return result


def compared(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[str]:
    """Means of all candidates before and after, on the problems that both have, and the paired differences."""
    both = {row["id"] for row in before} & {row["id"] for row in after}
    one, two = ([_own(r) for r in sorted(rows, key=lambda r: r["id"]) if r["id"] in both] for rows in (before, after))
    names = list(one[0])
    lines = [
        f"| {len(both)} held-back problems | " + " | ".join(names) + " |",
        "|---|" + "---:|" * len(names),
        "| before | " + " | ".join(_interval(one, m) for m in names) + " |",
        "| after | " + " | ".join(_interval(two, m) for m in names) + " |",
        "| difference, paired | " + " | ".join(_interval(_minus(two, one), m) for m in names) + " |",
    ]
    return lines


def _own(row: dict[str, Any]) -> dict[str, float | None]:
    group = row["reward"]
    scored = [c for c in group["candidates"] if c["status"] == "scored"]

    def mean(values: list[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return statistics.fmean(known) if known else None

    return {
        "yield": mean([float(c["r_task"]) for c in scored]),
        "v_ans": mean([float(c["v_ans"] or 0) for c in scored]),
        "nll": mean([c["nll"] for c in scored]),
        "D": group["diversity"] if group["feasible"] > 1 else None,
        "words": mean([float(c["signals"]["n_tokens"]) for c in scored if c["signals"]]),
        "copied": mean([c["signals"]["copied"] for c in scored if c["signals"]]),
        "repeated": mean([c["signals"]["repeated"] for c in scored if c["signals"]]),
    }


def _total(item: dict[str, Any], dist: float, div: float) -> float:
    """eq. 3; a failed candidate is never picked before a scored one."""
    if item["status"] == "failed":
        return -1.0
    if item["r_task"] != 1:
        return 0.0
    return 1.0 + dist * (item["r_dist"] or 0.0) + div * (item["r_div"] or 0.0)


def _minus(one: PerProblem, two: PerProblem) -> PerProblem:
    def less(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    return [{m: less(a[m], b[m]) for m in a} for a, b in zip(one, two, strict=True)]


def _interval(by_problem: PerProblem, metric: str) -> str:
    """Mean and 95 % percentile bootstrap interval over the problems that have a value."""
    values = [row[metric] for row in by_problem]
    known = [v for v in values if v is not None]
    if not known:
        return "-"
    dice = random.Random(17)
    means = sorted(statistics.fmean(dice.choices(known, k=len(known))) for _ in range(RESAMPLES))
    low, high = means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]
    return f"{statistics.fmean(known):.4f} [{low:.4f}, {high:.4f}]"


if __name__ == "__main__":
    sys.exit(main())
