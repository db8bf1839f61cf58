"""Which replicas are well: those that hang are noticed while work is under way there, those that came back return.

A replica at work that has answered nothing for a while is asked `/healthz`, which costs a healthy one nothing. A
replica whose health is fine while its work does not get done is recognised by the others, who answer meanwhile. One
that is away is asked after its rest: `/readyz`, and who it is; and for a group to be scored where nothing less shows
that it is well again (it refused, or its candidates failed while others scored them).
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic_core import from_json

from rewright.service.core.bounded_read import Answer, AnswerRefused, exchange
from rewright.service.scorers.probe import probe
from rewright.service.scorers.remote.generations import NOTHING_SAID, Said
from rewright.service.scorers.remote.post import Answered, Broken, Busy, Post, Refused, refusal, said_of, send
from rewright.service.scorers.remote.replicas import Replica, Replicas

QUIET_S = 0.5
"""A replica at work that has answered nothing for so long is asked whether it lives,"""
HEALTH_S = 0.75
"""within so many seconds, and is away after"""
MISSES = 2
SLOW_S = 3.0
"""A post that takes longer than this and eight times the usual, while others answer, is given up and sent elsewhere."""
STRIKES = 3
"""So many groups in a row that it could not score, while another replica could, and it is away."""
PROOF_S = 20.0
"""Longest wait for a group that shows whether a replica works again."""
PARTICULAR_S = 30.0
"""A replica that refuses just that group is tried with real work after so long: it may take other groups only."""
_INFO_BYTES = 4 << 20


@dataclass(slots=True, eq=False)
class UnderWay:
    """A post on its way. Cancelling its task gives it up."""

    replica: Replica
    jobs: list[Any]
    since: float
    task: "asyncio.Task[None]"


async def look_after(replicas: Replicas, under_way: Collection[UnderWay], *, usual_s: float) -> None:
    """One round: ask those that are quiet, and give up posts to replicas that hang."""
    now = time.monotonic()
    quiet = {u.replica for u in under_way if now - max(u.since, u.replica.answered_at) > QUIET_S}
    await asyncio.gather(*(_check(r) for r in quiet))
    # A replica that is only away, for instance because it is ending, may still answer what it has.
    lost = {r for r in quiet if r.misses >= MISSES} | _slow(replicas, under_way, longest=max(SLOW_S, 8 * usual_s))
    for replica in lost:
        replica.fails("hangs")
    for post in list(under_way):
        if post.replica in lost:
            post.task.cancel()


def strike(replica: Replica) -> None:
    """Another replica has scored what this one could not."""
    replica.strikes += 1
    if replica.strikes >= STRIKES and replica.well:
        replica.fails("could not score what another replica could", to_prove=True)


async def ask(replica: Replica, post: Post[Any]) -> Said | None:
    """What a replica that is away says of itself, where it is well; it is told that it failed where it is not."""
    try:
        if replica.said is not None and not await _is_ready(replica):
            replica.fails("not ready")
            return None
        if replica.to_prove:
            return await _proof(replica, post)
        return _introduced(replica, await _get(replica, "/v1/info"), post.name)
    except (httpx.HTTPError, AnswerRefused, TimeoutError) as trouble:
        replica.fails(str(trouble) if isinstance(trouble, AnswerRefused) else type(trouble).__name__)
        return None


async def _is_ready(replica: Replica) -> bool:
    return (await _get(replica, "/readyz")).status < httpx.codes.INTERNAL_SERVER_ERROR


async def _proof(replica: Replica, post: Post[Any]) -> Said | None:
    outcome = await send(post, replica, [probe()], options=(), seconds=PROOF_S)
    if isinstance(outcome, Answered) and not outcome.troubled:
        return outcome.said
    away_s = time.monotonic() - (replica.away_since or 0.0)
    particular = isinstance(outcome, Refused) and not outcome.everything
    if isinstance(outcome, Busy) or (particular and away_s > PARTICULAR_S):
        return replica.said or NOTHING_SAID
    if isinstance(outcome, Broken | Refused):
        replica.fails(outcome.reason, refuses=isinstance(outcome, Refused) and outcome.everything)
    else:
        replica.fails("cannot score")
    return None


def _introduced(replica: Replica, answer: Answer, name: str) -> Said | None:
    if answer.status != httpx.codes.OK:
        outcome = refusal(answer)
        if isinstance(outcome, Broken):
            replica.fails(outcome.reason)
            return None
        if isinstance(outcome, Refused):
            replica.fails(outcome.reason, refuses=True, to_prove=True)
            return None
        # Its answers will say who it is.
        return NOTHING_SAID
    try:
        told = from_json(answer.content)
    except ValueError:
        return NOTHING_SAID
    scorers = told.get("scorers") if isinstance(told, dict) else None
    if isinstance(scorers, dict) and name not in scorers:
        replica.fails(f"has {name} off (scorer_off)", refuses=True, to_prove=True)
        return None
    return said_of(told, name)


async def _check(replica: Replica) -> None:
    try:
        alive = (await _get(replica, "/healthz")).status < httpx.codes.INTERNAL_SERVER_ERROR
    except (httpx.HTTPError, AnswerRefused, TimeoutError):
        alive = False
    replica.misses = 0 if alive else replica.misses + 1


def _slow(replicas: Replicas, under_way: Collection[UnderWay], *, longest: float) -> set[Replica]:
    now = time.monotonic()
    slow: set[Replica] = set()
    for post in under_way:
        replica = post.replica
        others = any(r.well and r.answered_at > post.since for r in replicas if r is not replica)
        if replica.well and others and now - max(post.since, replica.answered_at) > longest:
            slow.add(replica)
    return slow


async def _get(replica: Replica, path: str) -> Answer:
    """Raises `TimeoutError` where it takes too long, and what `exchange` raises."""
    async with asyncio.timeout(HEALTH_S), replica.client() as client:
        return await exchange(client, client.build_request("GET", path), most=_INFO_BYTES)
