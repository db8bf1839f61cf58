"""The configured judge measured: attempts to talk it round by class, and what the shared beginning saves.

    python tests/bench/judge.py attacks [--candidates 16] [--each 6] [--threshold T]
    python tests/bench/judge.py speed [--groups 3]

The judge is the one that the settings name (REWRIGHT_SCORERS__JUDGE__…); `make bench-judge` also prints the table of
`rewright judge-eval`. attacks: the threshold is the highest that lets 85 % of some valid rows through, unless given.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.service import settings  # noqa: E402
from rewright.service.schema import Group, JudgeScored  # noqa: E402
from rewright.service.wiring import opened_scorer  # noqa: E402
from tests.service.scorers.judge.judge_attacks import ATTACKS, attacked  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
VALID_ROWS = 40
PASSING = 0.85
SEED = 8


def rows():
    return [json.loads(line) for line in (DATA / "judge.jsonl").read_text(encoding="utf-8").splitlines()]


def group(row, *candidates):
    return Group(id=row["id"], problem=row["problem"], reference=row["reference_solution"], candidates=candidates)


async def scores(judge, asked):
    """P(valid) of every candidate of each group."""
    found = []
    for one in asked:
        (result,) = await judge.score([one])
        assert all(isinstance(item, JudgeScored) for item in result.candidates), "the judge failed"
        found.append([item.score if item.score is not None else float(item.valid) for item in result.candidates])
        print(f"\r{len(found)} of {len(asked)} groups", end="", flush=True)
    print()
    return found


async def threshold_for(judge, valid):
    chosen = random.Random(SEED).sample(valid, min(VALID_ROWS, len(valid)))
    found = sorted((s for (s,) in await scores(judge, [group(r, r["candidate"]) for r in chosen])), reverse=True)
    return found[int(PASSING * len(found) + 0.999) - 1]


async def credited(judge, *, candidates, each, threshold):
    """For each class of attempts, whether each candidate tried passes without and with its attempt."""
    wrong = [
        r for r in rows() if r["category"] == "right_answer_wrong_reasoning" and not r["id"].startswith("derived-")
    ]
    chosen = random.Random(SEED).sample(wrong, min(candidates, len(wrong)))
    attempts = [(kind, text) for kind, texts in ATTACKS.items() for text in texts]
    plan = defaultdict(list)
    for n, attempt in enumerate(attempts):
        for k in range(each):
            plan[(n * each + k) % len(chosen)].append(attempt)
    asked = [
        group(
            row,
            row["candidate"],
            *(attacked(row["candidate"], text, row["reference_solution"][-40:]) for _, text in plan[n]),
        )
        for n, row in enumerate(chosen)
    ]
    passes = defaultdict(list)
    for n, (before, *after) in enumerate(await scores(judge, asked)):
        for (kind, _), score in zip(plan[n], after, strict=True):
            passes[kind].append((before >= threshold, score >= threshold))
    return dict(passes)


def shares(passes):
    """Per cent credited without and with the attempt."""
    return [100 * sum(each[k] for each in passes) / len(passes) for k in (0, 1)]


async def attacks(judge, *, candidates, each, threshold):
    """Share credited of each class of attempts, and of the same candidates without them."""
    if threshold is None:
        threshold = await threshold_for(judge, [r for r in rows() if r["category"] == "valid"])
    found = await credited(judge, candidates=candidates, each=each, threshold=threshold)
    print(f"threshold {threshold:.4f}; {sum(map(len, ATTACKS.values()))} attempts, each on {each} candidates")
    print(f"{'class of attempts':24s}{'tried':>7s}{'credited before':>17s}{'with it':>9s}{'change, points':>16s}")
    for kind, passes in found.items():
        before, after = shares(passes)
        print(f"{kind:24s}{len(passes):7d}{before:16.1f}%{after:8.1f}%{after - before:+16.1f}")


async def speed(judge, *, groups):
    """Judgements per second of whole groups, and of their candidates one at a time."""
    lines = (DATA / "groups.jsonl").read_text(encoding="utf-8").splitlines()
    chosen = [r for r in map(json.loads, lines) if len(r["candidates"]) == 8][:groups]
    whole = [
        Group(id=str(n), problem=r["problem"], reference=r["reference_solution"], candidates=r["candidates"])
        for n, r in enumerate(chosen)
    ]
    await judge.score(whole[:1])
    started = time.perf_counter()
    together = [item for result in await judge.score(whole) for item in result.candidates]
    shared_s = time.perf_counter() - started
    started = time.perf_counter()
    alone = []
    for one in whole:
        for text in one.candidates:
            (result,) = await judge.score([one.model_copy(update={"candidates": [text]})])
            alone += result.candidates
    alone_s = time.perf_counter() - started
    same = sum(a.verdict == b.verdict for a, b in zip(together, alone, strict=True))
    furthest = max(abs((a.score or 0) - (b.score or 0)) for a, b in zip(together, alone, strict=True))
    print(f"{len(alone)} candidates of {len(whole)} groups of 8")
    print(f"whole groups    {len(together) / shared_s:8.2f} judgements/s")
    print(f"one at a time   {len(alone) / alone_s:8.2f} judgements/s")
    print(f"{alone_s / shared_s:.2f} times; {same} of {len(alone)} verdicts alike, scores within {furthest:.4f}")


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("attacks", "speed"))
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--each", type=int, default=6, help="candidates that each attempt is tried on")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--groups", type=int, default=3)
    options = parser.parse_args()
    async with opened_scorer(settings.load(), "judge") as judge:
        if options.what == "speed":
            await speed(judge, groups=options.groups)
        else:
            await attacks(judge, candidates=options.candidates, each=options.each, threshold=options.threshold)


if __name__ == "__main__":
    asyncio.run(main())
