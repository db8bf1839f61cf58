"""Candidates through gateway and pods while everything about them is killed, hung, replaced and made to rave.

    python tests/bench/chaos.py --candidates 1000000      (`make chaos`; loopback only, at most half an hour)

Every text tells its verdict, its NLL under each version of the model and its share of diversity, so that every answer
is checked: each caller gets one result per candidate of its own groups, right to the last digit, and all NLLs of a
group are of one version. What is not scored must be `failed`, retryable, and is sent again. Ends with status 1 where
anything was wrong, lost or left over.
"""

import argparse
import asyncio
import os
import platform
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.wire import RewardScored
from rewright.service.reward.rule import dist_reward, nll_statistics, standardised_nll
from tests.bench.chaos_pod import REVISIONS, nll_of, p_valid, r_div_of
from tests.bench.chaos_town import Chaos, Town

K = 8
GROUPS_A_CALL = 16
ALGEBRA_SHARE = 0.003
"""Of candidates: those that need the verifier's worker processes."""
TOLERANCE = 1e-9


@dataclass
class Tally:
    """What came back."""

    candidates: int = 0
    scored: int = 0
    sent_again: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    calls: int = 0


@dataclass(frozen=True)
class Sent:
    """A group as posted, and whether each candidate's answer is right."""

    body: dict[str, object]
    texts: list[str]
    right: list[bool]


def groups(count: int, seed: int) -> Iterator[Sent]:
    rng = random.Random(seed)
    for number in range(count):
        n = number + 2
        algebra = rng.random() < ALGEBRA_SHARE * K
        gold = rf"\frac{{1}}{{2}}\sin({2 * n}x)" if algebra else str(7 * n + 1)
        texts, right = [], []
        for k in range(K):
            is_right = rng.random() < 0.6
            if algebra and k == 0:
                answer = rf"\sin({n}x)\cos({n}x)" if is_right else rf"\sin({n}x)\cos({n + 1}x)"
            else:
                answer = gold if is_right else f"{7 * n + 2}"
            p = rng.choice(["0.9", "0.8", "0.2"])
            texts.append(f"Try {k} of {n}, p={p}. So the answer is $\\boxed{{{answer}}}$.")
            right.append(is_right)
        body = {"id": f"g{n}", "problem": f"Problem {n}: what is it?", "reference": "It is.", "answer": gold}
        yield Sent({**body, "candidates": texts}, texts, right)


def check(sent: Sent, result: object, tally: Tally) -> bool:
    """Whether the group is done; what is wrong about it goes into the tally."""
    group_id = str(sent.body["id"])
    if getattr(result, "id", None) != group_id or len(getattr(result, "candidates", ())) != K:
        tally.wrong.append(f"{group_id}: answered as {getattr(result, 'id', None)}")
        return True
    items = result.candidates  # type: ignore[attr-defined]
    unscored = [item for item in items if not isinstance(item, RewardScored)]
    if unscored:
        for item in unscored:
            if not item.error.retryable:
                tally.wrong.append(f"{group_id}: failed forever with {item.error.code}")
            tally.sent_again[item.error.code] += 1
        return not all(item.error.retryable for item in unscored)
    found = [
        r for r in REVISIONS if all(_is(c.nll, nll_of(t, r)) for c, t in zip(items, sent.texts, strict=True) if c.nll)
    ]
    members = [c.nll for c in items if c.gate == "open"]
    stats = nll_statistics(members)
    if not found:
        tally.wrong.append(f"{group_id}: NLLs of no version, or of two")
        return True
    if members:
        tally.versions[found[0]] += 1
    for k, (item, text, right) in enumerate(zip(items, sent.texts, sent.right, strict=True)):
        gate = "wrong" if not right else "open" if p_valid(text) >= 0.5 else "invalid"
        total = 0.0
        if gate == "open" and stats is not None:
            z = standardised_nll(nll_of(text, found[0]), stats, min_std=0.0)
            total = 1.0 + dist_reward(z) + r_div_of(text)
        if item.gate != gate or not _is(item.total, total):
            tally.wrong.append(f"{group_id}[{k}]: {item.gate} {item.total} instead of {gate} {total}")
    tally.scored += K
    return True


def _is(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= TOLERANCE


async def run(url: str, count: int, *, seed: int, callers: int, seconds: float, tally: Tally) -> int:
    """Groups left over when the time was up."""
    source = groups(count // K, seed)
    ends = time.monotonic() + seconds
    left = 0

    async def caller(client: AsyncRewardClient) -> None:
        nonlocal left
        while batch := [sent for _, sent in zip(range(GROUPS_A_CALL), source, strict=False)]:
            tally.candidates += K * len(batch)
            while batch:
                if time.monotonic() > ends:
                    left += len(batch)
                    return
                scores = await client.reward([sent.body for sent in batch])
                tally.calls += 1
                if len(scores.groups) != len(batch):
                    tally.wrong.append(f"{len(scores.groups)} groups for {len(batch)}")
                batch = [s for s, result in zip(batch, scores.groups, strict=True) if not check(s, result, tally)]

    client = AsyncRewardClient(url, deadline_s=120.0, concurrency=callers, batch_candidates=K * GROUPS_A_CALL)
    async with client, asyncio.TaskGroup() as together:
        for _ in range(callers):
            together.create_task(caller(client))
    return left


def report(tally: Tally, done: Counter[str], *, left: int, seconds: float) -> None:
    print(f"\n{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print("\ndone to it")
    for name, times in sorted(done.items()):
        print(f"  {times:5d} x {name}")
    print("\ncame back")
    rows = {
        "candidates posted": tally.candidates,
        "scored, every number as known": tally.scored,
        "wrong": len(tally.wrong),
        "left over when the time was up": left * K,
        "calls": tally.calls,
        "seconds": round(seconds, 1),
        "candidates per second": round(tally.scored / seconds),
    }
    for name, value in rows.items():
        print(f"  {name:34s}{value:>12}")
    print(f"  sent again, by code: {dict(tally.sent_again)}")
    print(f"  groups by version of the model: {dict(tally.versions)}")
    for line in tally.wrong[:20]:
        print(f"  WRONG {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--callers", type=int, default=24, help="calls under way at once, of 16 groups each")
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two deeds")
    parser.add_argument("--seconds", type=float, default=1_700.0, help="when to give up")
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder, Town(Path(folder)) as town:
        if town.redis is None:
            print("redis-server is not installed: the shared cache is left out")
        started = time.monotonic()
        with Chaos(town, every_s=options.every, seed=options.seed) as chaos:
            url = f"http://127.0.0.1:{town.gateway.port}"
            limits = {"seed": options.seed, "callers": options.callers, "seconds": options.seconds}
            left = asyncio.run(run(url, options.candidates, tally=tally, **limits))
        report(tally, chaos.done, left=left, seconds=time.monotonic() - started)
    return 1 if tally.wrong or left or tally.scored != tally.candidates else 0


if __name__ == "__main__":
    sys.exit(main())
