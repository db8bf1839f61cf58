"""Members one a call, many at once: 5,000 of 500 groups from 64 callers in random order, repeats, lost members, and one
of two gateways killed between its answers.

Checked, and told: every caller is answered; rewards are the batched endpoint's; no member is without a reward beside
siblings who have one; and when all is over the surviving gateway holds nothing.

    python tests/bench/rendezvous.py [--groups 500] [--size 10] [--without-redis]
"""

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from rewright.clients.http_client import RewardClient  # noqa: E402
from rewright.clients.rendezvous import AsyncRendezvous  # noqa: E402
from tests.live_server import free_port  # noqa: E402

CALLERS, LOST, REPEATED = 64, 0.02, 0.1
DEADLINE_S, REMEMBER_S = 60.0, 90.0
SPREAD_S = 10.0
"""Members come within so many seconds, in random order."""
OF_PROBLEM = {"problem": "p", "reference": "r", "answer": "42"}
GATEWAY = """
import sys
from rewright.service.settings import CacheSettings, RendezvousSettings, Settings
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
port, redis, remember_s = int(sys.argv[1]), sys.argv[2] or None, float(sys.argv[3])
settings = Settings(cache=CacheSettings(redis_url=redis), rendezvous=RendezvousSettings(remember_s=remember_s))
with serve_app(plain_scorers(), settings, port=port):
    print("up", flush=True)
    sys.stdin.read()
"""

Place = tuple[int, int]


@contextmanager
def redis() -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        sys.exit("redis-server is not on the PATH: install it, or try --without-redis")
    port = free_port()
    process = subprocess.Popen([program, "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


@contextmanager
def gateway(redis_url: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(port), redis_url, str(REMEMBER_S)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait()


def text_of(group: int, member: int) -> str:
    right = int((group + member) % 5 > 0)
    return f"nll={0.5 + 0.1 * member + 0.01 * (group % 7):.3f} e={0.1 * member:.2f} ans={right}"


async def meet(
    urls: list[str], work: list[Place], size: int, killed: "subprocess.Popen[str]"
) -> dict[Place, list[Any]]:
    """Answers and errors by place; the gateway is killed when a third was answered."""
    meeting = AsyncRendezvous(urls, deadline_s=DEADLINE_S, patience_s=DEADLINE_S)
    told: dict[Place, list[Any]] = {}
    answered = 0

    async def one(place: Place) -> None:
        nonlocal answered
        group, member = place
        await asyncio.sleep(random.uniform(0, SPREAD_S))
        call = meeting.reward(
            group=f"g{group}", size=size, member=str(member), candidate=text_of(group, member), **OF_PROBLEM
        )
        (answer,) = await asyncio.gather(call, return_exceptions=True)
        told.setdefault(place, []).append(answer)
        answered += 1
        if answered == len(work) // 3:
            killed.kill()
            print(f"  killed a gateway after {answered} answers")

    async def caller(mine: list[Place]) -> None:
        await asyncio.gather(*map(one, mine))

    await asyncio.gather(*(caller(work[number::CALLERS]) for number in range(CALLERS)))
    return told


def gauges(url: str) -> dict[str, float]:
    lines = [
        line for line in httpx.get(f"{url}/metrics", timeout=60).text.splitlines() if "rewright_rendezvous" in line
    ]
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name.removeprefix("rewright_rendezvous_"): float(value) for name, value in values.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=500)
    parser.add_argument("--size", type=int, default=10)
    parser.add_argument("--without-redis", action="store_true")
    asked = parser.parse_args()
    every = [(g, k) for g in range(asked.groups) for k in range(asked.size)]
    randomly = random.Random(1)
    lost = set(randomly.sample(every, int(LOST * len(every))))
    work = [place for place in every if place not in lost]
    work += randomly.sample(work, int(REPEATED * len(work)))
    randomly.shuffle(work)
    if asked.without_redis:
        return run(asked.groups, asked.size, work, lost, "")
    with redis() as url:
        return run(asked.groups, asked.size, work, lost, url)


def run(groups: int, size: int, work: list[Place], lost: set[Place], redis_url: str) -> int:
    with gateway(redis_url) as (survivor, _), gateway(redis_url) as (dying, process):
        started = time.monotonic()
        told = asyncio.run(meet([survivor, dying], work, size, process))
        seconds = time.monotonic() - started
        with RewardClient(survivor, deadline_s=120) as client:
            candidates = [[text_of(g, k) for k in range(size)] for g in range(groups)]
            batched = client.reward([OF_PROBLEM | {"candidates": texts} for texts in candidates]).groups
        inside = gauges(survivor)
        time.sleep(REMEMBER_S + 1)
        later = gauges(survivor)
    answers = [(place, answer) for place, several in told.items() for answer in several]
    kinds = Counter(
        type(answer).__name__ if isinstance(answer, BaseException) else answer.candidate.status for _, answer in answers
    )
    rewarded = [(p, a.candidate.total) for p, a in answers if not isinstance(a, BaseException) and not a.failed]
    wrong = sum(total != batched[g].candidates[k].total for (g, k), total in rewarded)
    told_none = {g for (g, _), a in answers if not isinstance(a, BaseException) and a.failed}
    mixed = told_none & {g for (g, _), _ in rewarded}
    needless = told_none - {g for g, _ in lost}
    held = [inside["groups"], inside["members"], later["remembered"]]
    unanswered = len(work) - len(answers)
    print(f"  {len(work)} calls of {groups} groups of {size}, {len(lost)} members lost, {seconds:.0f} s: {dict(kinds)}")
    print(
        f"  calls without an answer {unanswered}; rewards other than the batched endpoint's {wrong} of {len(rewarded)}"
    )
    print(
        f"  groups with and without rewards at once {len(mixed)}; whole groups told that they are not {len(needless)}"
    )
    print(f"  left at the survivor: groups {held[0]:g}, members {held[1]:g}, remembered {held[2]:g}; outcomes {inside}")
    bad = unanswered or wrong or mixed or needless or any(held) or (redis_url and kinds.keys() - {"scored", "failed"})
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
