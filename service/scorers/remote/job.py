"""One group on its way to a replica, and how whoever waits for it is told."""

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rewright.service.core.fair_queue import Entry
from rewright.service.errors import RewrightError
from rewright.service.schema import Group
from rewright.service.scorers.remote.generations import Pin
from rewright.service.scorers.remote.replicas import Replica


class Kept(NamedTuple):
    """A whole answer without a score, in case that no better one is found."""

    replica: Replica
    result: Any


@dataclass(slots=True, eq=False)
class Job:
    """One group on its way. avoid: replicas that failed it, `refused` those of them that will not answer it. alone: it
    is posted without neighbours, since a post with it failed. options: those of its request that are on.

    entry: its place in the queue; held_since: when it began to wait for a replica that the queue need not wait for.
    """

    group: Group
    options: frozenset[str]
    caller: str | None
    due: float
    future: "asyncio.Future[Any]"
    pin: Pin
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    entry: "Entry[Job] | None" = None
    held_since: float | None = None
    avoid: list[Replica] = field(default_factory=list)
    refused: list[Replica] = field(default_factory=list)
    alone: bool = False
    kept: Kept | None = None
    tries: int = 0


def candidates_of(jobs: Sequence[Job]) -> int:
    """How many candidates the groups have together."""
    return sum(len(job.group.candidates) for job in jobs)


def fail(job: Job, trouble: RewrightError) -> None:
    """Tell whoever waits, with the answer that was kept where there is one."""
    if job.future.done():
        return
    if job.kept is not None:
        job.future.set_result(job.kept.result)
        return
    job.future.set_exception(trouble)
    job.future.exception()  # seen, although whoever asked may have left
