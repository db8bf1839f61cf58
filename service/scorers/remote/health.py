"""Which replicas are well: those that hang are noticed while work is under way there, those that came back return.

A replica at work that has answered nothing for a while is asked `/healthz`, which costs a healthy one nothing; one that
is away is asked `/readyz` after its rest. A replica whose health is fine while its work does not get done is recognised
by the others, who answer meanwhile.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httpx

from rewright.service.scorers.remote.replicas import Replica, Replicas

QUIET_S = 0.5
"""A replica at work that has answered nothing for so long is asked whether it lives,"""
HEALTH_S = 0.75
"""within so many seconds, and is away after"""
MISSES = 2
SLOW_S = 3.0
"""A post that takes longer than this and eight times the usual, while others answer, is given up and sent elsewhere."""


@dataclass(slots=True, eq=False)
class UnderWay:
    """A post on its way. Cancelling its task gives it up."""

    replica: Replica
    jobs: list[Any]
    since: float
    task: "asyncio.Task[None]"


async def look_after(replicas: Replicas, under_way: Collection[UnderWay], *, usual_s: float) -> None:
    """One round: ask who must be asked, and give up posts to replicas that are away now."""
    now = time.monotonic()
    quiet = {u.replica for u in under_way if now - max(u.since, u.replica.answered_at) > QUIET_S}
    away = {r for r in replicas if not r.well and r.rests_until <= now}
    await asyncio.gather(*(_check(r) for r in quiet), *(_ask_back(r) for r in away))
    # A replica that is only away, for instance because it is ending, may still answer what it has.
    lost = {r for r in quiet if r.misses >= MISSES} | _slow(replicas, under_way, longest=max(SLOW_S, 8 * usual_s))
    for replica in lost:
        replica.fails("hangs")
    for post in list(under_way):
        if post.replica in lost:
            post.task.cancel()


async def _check(replica: Replica) -> None:
    if await _answers(replica, "/healthz"):
        replica.misses = 0
        return
    replica.misses += 1


async def _ask_back(replica: Replica) -> None:
    if await _answers(replica, "/readyz"):
        replica.returns()
    else:
        replica.fails("not ready")


def _slow(replicas: Replicas, under_way: Collection[UnderWay], *, longest: float) -> set[Replica]:
    now = time.monotonic()
    slow: set[Replica] = set()
    for post in under_way:
        replica = post.replica
        others = any(r.well and r.answered_at > post.since for r in replicas if r is not replica)
        if replica.well and others and now - max(post.since, replica.answered_at) > longest:
            slow.add(replica)
    return slow


async def _answers(replica: Replica, path: str) -> bool:
    """Whether it answers in time with anything but trouble of its own."""
    try:
        async with asyncio.timeout(HEALTH_S), replica.client() as client:
            return (await client.get(path)).status_code < httpx.codes.INTERNAL_SERVER_ERROR
    except (httpx.HTTPError, TimeoutError):
        return False
