"""Four verifiers on the same work in one run, as one table: what `make bench-verify` prints.

    python tests/bench/verify.py [--repeat 3] [--workers 2]

math-verify called directly, TRL's `accuracy_reward`, this project's scorer in process, and /v1/verify over HTTP in
batches of about 256 candidates (a real server process whose other scorers are off). Two workloads of ../shared/data:
the real candidates of groups.jsonl, and the answer and full-solution rows of verification.jsonl. Each repeat runs all
four in turn, so that a busy machine slows them alike; the median of the repeats is shown. Each pair is new to this
project's verifier in every repeat (a fresh verifier, a fresh server); the two libraries keep sympy's cache, which helps
them.

TRL is a dependency of the trainer; where it is not installed its row is left out. Ends with status 1 where agreement on
real candidates is below 99 %.
"""

import argparse
import asyncio
import json
import logging
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
DATA = ROOT.parent / "shared" / "data"
BATCH = 256

Verdicts = list[bool | None]


class Item(NamedTuple):
    """One problem: gold (an answer or a whole reference), candidates, labels."""

    id: str
    gold: str
    whole: bool
    candidates: list[str]
    labels: list[bool]


def rows_of(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def real_candidates() -> list[Item]:
    return [
        Item(row["id"], row["reference_solution"], True, row["candidates"], row["candidates_correct"])
        for row in rows_of("groups.jsonl")
    ]


def equivalences() -> list[Item]:
    return [
        Item(row["id"], row["gold"], False, [row["prediction"]], [row["expected"]])
        for row in rows_of("verification.jsonl")
        if row["kind"] in ("answer", "full-solution")
    ]


def pairs(work: list[Item]) -> list[tuple[str, str]]:
    return [(item.gold, candidate) for item in work for candidate in item.candidates]


def body(items: list[Item]) -> dict:
    return {
        "groups": [
            {"id": item.id, "reference" if item.whole else "answer": item.gold, "candidates": item.candidates}
            for item in items
        ]
    }


def batches(work: list[Item]) -> list[list[Item]]:
    cut: list[list[Item]] = [[]]
    size = 0
    for item in work:
        if size and size + len(item.candidates) > BATCH:
            cut.append([])
            size = 0
        cut[-1].append(item)
        size += len(item.candidates)
    return cut


def warm_gold(n: int) -> str:
    """An answer that takes algebra, so that the workers have parsed something, as the libraries have."""
    return f"{n} + \\sin^2 x + \\cos^2 x"


# --- the four ---------------------------------------------------------------------------------------------------------


def math_verify_direct(work: list[Item]) -> tuple[Verdicts, float]:
    from math_verify import parse, verify

    started = time.perf_counter()
    verdicts: Verdicts = [verify(parse(gold), parse(candidate)) for gold, candidate in pairs(work)]
    return verdicts, time.perf_counter() - started


def trl_accuracy_reward(work: list[Item]) -> tuple[Verdicts, float]:
    from trl.rewards import accuracy_reward

    golds, texts = zip(*pairs(work), strict=True)
    completions = [[{"role": "assistant", "content": text}] for text in texts]
    started = time.perf_counter()
    rewards = accuracy_reward(completions, list(golds))
    return [None if reward is None else reward == 1.0 for reward in rewards], time.perf_counter() - started


def in_process(work: list[Item], workers: int) -> tuple[Verdicts, float]:
    from rewright.service.schema import Group, ScoreRequest
    from rewright.service.scorers.verify.scorer import AnswerVerifier

    groups = ScoreRequest.model_validate(body(work)).groups

    async def timed() -> tuple[Verdicts, float]:
        verifier = AnswerVerifier(workers=workers, cpu_s=5.0, memory_mb=1024, queue=20_000)
        await verifier.open()
        await verifier.score([Group(id=str(n), answer=warm_gold(n), candidates=[f"{n + 1}"]) for n in range(40)])
        started = time.perf_counter()
        results = await verifier.score(groups)
        seconds = time.perf_counter() - started
        await verifier.close()
        return [getattr(c, "correct", None) for group in results for c in group.candidates], seconds

    return asyncio.run(timed())


def over_http(work: list[Item], workers: int) -> tuple[Verdicts, float]:
    from tests.live_server import serve_process

    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
    verdicts: Verdicts = []
    with (
        serve_process(off | {"REWRIGHT_SCORERS__VERIFY__WORKERS": str(workers)}) as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
    ):
        warm = [Item(str(n), warm_gold(n), False, [f"{n + 1}"], [True]) for n in range(40)]
        client.post("/v1/verify", json=body(warm)).raise_for_status()
        started = time.perf_counter()
        for some in batches(work):
            answer = client.post("/v1/verify", json=body(some)).raise_for_status().json()
            verdicts += [c.get("correct") for group in answer["groups"] for c in group["candidates"]]
        seconds = time.perf_counter() - started
    return verdicts, seconds


# --- the table --------------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if not (DATA / "groups.jsonl").is_file():
        print("the public test data is absent: groups.jsonl is expected in ../shared/data beside the checkout")
        return 1
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    ways: dict[str, Callable[[list[Item]], tuple[Verdicts, float]]] = {
        "math-verify, direct": math_verify_direct,
        "TRL accuracy_reward": trl_accuracy_reward,
        "this scorer, in process": lambda work: in_process(work, options.workers),
        "/v1/verify over HTTP": lambda work: over_http(work, options.workers),
    }
    try:
        import trl  # noqa: F401
    except ImportError:
        print("trl is not installed: its row is left out (pip install 'rewright[trainer]')")
        del ways["TRL accuracy_reward"]
    good = True
    print(f"{'':<26}{'pairs/s':>10}{'x TRL':>8}{'agreed':>16}{'credited falsely':>18}")
    for title, work in (("real candidates", real_candidates()), ("equivalences", equivalences())):
        labels = [label for item in work for label in item.labels]
        taken: dict[str, list[float]] = {way: [] for way in ways}
        verdicts: dict[str, Verdicts] = {}
        for _ in range(options.repeat):
            for way, run in ways.items():
                verdicts[way], seconds = run(work)
                taken[way].append(seconds)
        print(f"{title} ({len(labels)} pairs)")
        base = taken.get("TRL accuracy_reward")
        for way in ways:
            # Ratios within one repeat, since what else the machine does changes from one to the next.
            ratio = (
                statistics.median(b / own for b, own in zip(base, taken[way], strict=True)) if base else float("nan")
            )
            agreed = sum(given is label for given, label in zip(verdicts[way], labels, strict=True))
            falsely = sum(given is True and not label for given, label in zip(verdicts[way], labels, strict=True))
            speed = len(labels) / statistics.median(taken[way])
            print(f"  {way:<24}{speed:>10,.0f}{ratio:>8.1f}{agreed:>7} {agreed / len(labels):>7.1%}{falsely:>18}")
            if title == "real candidates" and "this" in way:
                good = good and agreed >= 0.99 * len(labels)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, median of {options.repeat}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
