"""The verifier under a long load: memory over many pairs, and latency of the innocent beside hostile answers.

    python tests/bench/verify_soak.py [--pairs 200000] [--seconds 60] [--rate 50]

Soak: pairs of all stages, one in ten of them for the workers, no two alike; proportional memory of the parent and of
the average worker (their number changes as they are recycled) after the first tenth and at the end. Stream: an open
loop of `rate` pairs per second, first innocent alone, then with one in twenty hostile; p99 latency of the innocent.
Ends with status 1 where memory grew by more than 5 %, or the p99 by more than to twice itself plus the fast lane's
limit. `--seconds 0` or `--pairs 0` leaves one of the two out. The load of the machine is printed: latencies taken
beside other work say nothing. Linux only.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.service.schema import Group  # noqa: E402
from rewright.service.scorers.verify.scorer import FIRST_TRY_S, AnswerVerifier  # noqa: E402
from tests.service.scorers.verify.hostile_answers import GOLD, HOSTILE  # noqa: E402

BATCH = 500
POISON = ["tower of powers", "factorial of a factorial", "nested ln", "hard integral", "many factors", "hard limit"]


def soak_group(n: int) -> Group:
    gold, candidate = (
        (str(n), f"So it is \\boxed{{{n}}}."),
        (f"\\frac{{{n}}}{{7}}", f"The answer is {n}/7."),
        (f"(x+{n})^2", f"x^2 + {2 * n}x + {n * n}"),
        (f"{n}\\sqrt{{2}}", f"\\sqrt{{{2 * n * n}}}"),
        (f"{n}, {n + 1}", f"{n + 1} and {n}"),
    )[n % 5]
    if n % 10 == 9:
        gold, candidate = f"{n} + \\sin^2 x + \\cos^2 x", f"{n + 1}"
    return Group(id=str(n), answer=gold, candidates=[candidate])


def memory_mb(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # recycled meanwhile
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def parent_and_worker_mb(verifier: AnswerVerifier) -> tuple[float, float]:
    workers = verifier.worker_pids()
    return memory_mb([os.getpid()]), memory_mb(workers) / max(1, len(workers))


async def soak(verifier: AnswerVerifier, pairs: int) -> bool:
    first, started, wrong = (0.0, 0.0), time.monotonic(), 0
    for start in range(0, pairs, BATCH):
        results = await verifier.score([soak_group(n) for n in range(start + 1, start + BATCH + 1)])
        wrong += sum(getattr(c, "verdict", "failed") != "correct" for group in results for c in group.candidates)
        if start + BATCH == pairs // 10:
            first = parent_and_worker_mb(verifier)
    last = parent_and_worker_mb(verifier)
    seconds = time.monotonic() - started
    print(f"soak: {pairs} pairs in {seconds:.0f} s, {wrong} not as they should be")
    for name, then, now in zip(("parent", "average worker"), first, last, strict=True):
        print(f"  {name}: {then:.1f} MiB after {pairs // 10}, {now:.1f} MiB at the end ({now / then - 1:+.1%})")
    return wrong == 0 and all(now <= 1.05 * then for then, now in zip(first, last, strict=True))


async def stream(verifier: AnswerVerifier, seconds: float, rate: float, *, hostile: bool) -> float:
    """p99 latency, in seconds, of the innocent pairs."""
    latencies: list[float] = []

    async def one(n: int, poisoned: bool) -> None:
        group = Group(id="p", answer=GOLD, candidates=[HOSTILE[random.choice(POISON)]]) if poisoned else soak_group(n)
        started = time.monotonic()
        await verifier.score([group])
        if not poisoned:
            latencies.append(time.monotonic() - started)

    offset = random.randrange(10**6, 10**9)
    begun, tasks = time.monotonic(), []
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, begun + n / rate - time.monotonic()))
        tasks.append(asyncio.create_task(one(offset + n, hostile and n % 20 == 7)))
    await asyncio.gather(*tasks)
    return sorted(latencies)[int(0.99 * len(latencies))]


async def run(pairs: int, seconds: float, rate: float, workers: int) -> bool:
    verifier = AnswerVerifier(workers=workers, cpu_s=5.0, memory_mb=1024, queue=20_000)
    await verifier.open()
    print(f"load of the machine at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    good = True
    try:
        await verifier.score([soak_group(n) for n in range(-400, 0)])
        if seconds:
            alone = await stream(verifier, seconds, rate, hostile=False)
            beside = await stream(verifier, seconds, rate, hostile=True)
            print(f"stream of {rate:g} pairs/s for {seconds:g} s, p99 of the innocent:")
            print(f"  {alone * 1e3:.0f} ms alone, {beside * 1e3:.0f} ms with 5 % hostile", flush=True)
            good = beside <= 2 * alone + FIRST_TRY_S
        if pairs:
            good = await soak(verifier, pairs) and good
    finally:
        await verifier.close()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    good = asyncio.run(run(options.pairs, options.seconds, options.rate, options.workers))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
