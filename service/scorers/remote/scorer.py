"""The scorer protocol over HTTP, for a scorer in pods of its own: the same app, with that scorer local.

Groups wait in one fair queue and go, several to a post, to whichever replica has room; with `sticky` a group goes to
the same replica while that is well and has room, for the sake of its prefix cache. A group whose replica dies, hangs or
is ending is sent to another one, alone from then on, so that a poisonous neighbour cannot take it down again; after
`TRIES` it fails. A replica that is only busy (429) rests as long as it asks. What cannot be scored is `Failed`,
retryable, with the code `scorer_unavailable` or `overloaded`; it never becomes a number.

Requests carry the request's id, what is left of its deadline, and its trace. What the pods say of their models is read
from `/v1/info` now and then, so that `served_by` names who computed the score.
"""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx

from rewright.service.core.batcher import QueueState
from rewright.service.core.fair_queue import Entry, FairQueue
from rewright.service.core.request_context import request_id, seconds_left
from rewright.service.errors import Overloaded, RewrightError, ScorerUnavailable
from rewright.service.schema import Failed, Group, GroupScores
from rewright.service.scorers.base import ReplicaState
from rewright.service.scorers.remote.health import UnderWay, look_after
from rewright.service.scorers.remote.post import Answered, Broken, Busy, Post, Rejected, send
from rewright.service.scorers.remote.replicas import LOOK_UP_EVERY_S, POST_CANDIDATES, Replica, Replicas

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])
log = logging.getLogger(__name__)

TRIES = 3
TEND_EVERY_S = 0.25
PATIENCE_S = 3.0
"""Work waits so long for a replica while none is well."""
INFO_EVERY_S = 10.0


@dataclass(slots=True, eq=False)
class _Job:
    """One group on its way."""

    group: Group
    tokens: bool
    caller: str | None
    due: float
    future: "asyncio.Future[Any]"
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    avoid: list[Replica] = field(default_factory=list)


class RemoteScorer(Generic[GroupResult]):
    """A scorer whose `score` is posts to `/v1/{name}` of its replicas.

    result: the group model that an answer holds; urls: base URLs, each an address or a name with several; timeout_s:
    longest wait for one group; sticky: keep a problem at its replica.
    """

    def __init__(
        self,
        name: str,
        result: type[GroupResult],
        *,
        urls: Sequence[str],
        timeout_s: float,
        api_key: str | None = None,
        connection_age_s: float = 60.0,
        sticky: bool = False,
    ) -> None:
        self.name = name
        self._result = result
        self._urls = list(urls)
        self._timeout_s = timeout_s
        self._sticky = sticky
        self._replicas = Replicas(urls, api_key=api_key, connection_age_s=connection_age_s)
        self._post = Post(name, result)
        self._queue: FairQueue[_Job] = FairQueue(head_start=POST_CANDIDATES)
        self._under_way: set[UnderWay] = set()
        self._chores: list[asyncio.Task[None]] = []
        self._served_by: dict[str, Any] = {}
        self._last_worked: float | None = None
        self._last_well = time.monotonic()
        self._usual_s: float | None = None
        self._retries = 0
        self._done = QueueState(0, 0, 0.0)

    async def open(self) -> None:
        """Starts even when no pod is up yet: pods come and go in any order."""
        await self._replicas.look_up()
        self._last_well = time.monotonic()
        chores = (self._tend(), self._watch_addresses(), self._watch_info())
        self._chores = [asyncio.create_task(chore, context=contextvars.Context()) for chore in chores]

    async def close(self) -> None:
        tasks = [*self._chores, *(u.task for u in self._under_way)]
        self._chores = []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in self._queue.drain():
            _fail(job, ScorerUnavailable(f"{self.name} is closed"))
        await self._replicas.close()

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[GroupResult]:
        """One result per group in order. Raises `ScorerUnavailable` or `Overloaded` where not one group got through.

        tokens: as in `rewright.service.schema.ScoreRequest`; only pods of the NLL know it.
        """
        return await self._score(groups, tokens=tokens)

    def describe(self) -> dict[str, Any]:
        reachable = self._last_worked is not None or bool(self._served_by)
        well = sum(replica.well for replica in self._replicas)
        return {
            "where": "remote",
            "url": ",".join(self._urls),
            "reachable": reachable and well > 0,
            "replicas": len(self._replicas),
            **self._served_by,
        }

    def last_worked(self) -> float | None:
        return self._last_worked

    def queue_state(self) -> QueueState:
        """Groups that wait for a replica with room; a batch is a post, its cost candidates."""
        queue = self._queue
        return self._done._replace(waiting=len(queue), waiting_cost=queue.cost, oldest_wait_s=queue.oldest_wait_s())

    def replica_state(self) -> ReplicaState:
        well = sum(replica.well for replica in self._replicas)
        return ReplicaState(well, len(self._replicas) - well, self._retries)

    # --- one call -----------------------------------------------------------------------------------------------------

    async def _score(self, groups: Sequence[Group], *, tokens: bool) -> list[GroupResult]:
        if not self._chores:
            raise ScorerUnavailable(f"{self.name} is not open")
        left = seconds_left()
        due = time.monotonic() + (self._timeout_s if left is None else min(self._timeout_s, left))
        caller = request_id.get()
        loop = asyncio.get_running_loop()
        jobs = [_Job(group, tokens, caller, due, loop.create_future()) for group in groups]
        entries = [self._queue.push(caller, job, len(job.group.candidates)) for job in jobs]
        self._dispatch()
        try:
            outcomes = await asyncio.gather(*(job.future for job in jobs), return_exceptions=True)
        finally:
            self._forget(entries)
        troubles = [outcome for outcome in outcomes if isinstance(outcome, RewrightError)]
        if troubles and len(troubles) == len(outcomes):
            raise troubles[0]
        return [
            self._failed(group, outcome) if isinstance(outcome, RewrightError) else _sound(outcome)
            for group, outcome in zip(groups, outcomes, strict=True)
        ]

    def _forget(self, entries: list[Entry[_Job]]) -> None:
        """Nobody waits for these any more: out of the queue, and a post in which nobody's work is left is given up."""
        for entry in entries:
            self._queue.take(entry, served=False)
            entry.item.future.cancel()
        for under_way in list(self._under_way):
            if all(job.future.cancelled() for job in under_way.jobs):
                under_way.task.cancel()

    def _failed(self, group: Group, trouble: RewrightError) -> GroupResult:
        failed = Failed.because(trouble.code, trouble.message, retryable=True)
        # What else a group's result holds is told of scored candidates, and there are none.
        nothing = dict.fromkeys(self._result.model_fields)
        return self._result.model_validate(
            nothing | {"id": group.id or "", "candidates": [failed] * len(group.candidates)}
        )

    # --- giving work out ----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give waiting groups to replicas with room, those of one caller and replica together."""
        plan: dict[tuple[Replica, str | None, bool], list[_Job]] = {}
        while (entry := self._queue.peek()) is not None:
            replica = self._replica_for(entry)
            if replica is None:
                break
            taken = self._taken_together(entry, replica)
            if entry.item.avoid:
                self._start(replica, taken)
                continue
            together = plan.setdefault((replica, entry.item.caller, entry.item.tokens), [])
            if together and _candidates(together) + _candidates(taken) > POST_CANDIDATES:
                self._start(replica, together.copy())
                together.clear()
            together += taken
        for (replica, _, _), together in plan.items():
            if together:
                self._start(replica, together)

    def _replica_for(self, entry: Entry[_Job]) -> Replica | None:
        job = entry.item
        affinity = (job.group.problem or "") if self._sticky else None
        return self._replicas.choose(entry.cost, affinity=affinity, avoid=job.avoid)

    def _taken_together(self, entry: Entry[_Job], replica: Replica) -> list[_Job]:
        """The group, and those next of its caller that go to the same replica, as many as fit into a post: where many
        callers wait for few replicas, turns of one group each would make posts of one group each."""
        taken: list[_Job] = []
        following: Entry[_Job] | None = entry
        size = 0
        while following is not None:
            self._queue.take(following)
            replica.under_way += following.cost
            size += following.cost
            taken.append(following.item)
            following = self._queue.next_of(entry)
            if following is None or entry.item.avoid or following.item.avoid:
                break
            if following.item.tokens != entry.item.tokens or size + following.cost > POST_CANDIDATES:
                break
            if self._replica_for(following) is not replica:
                break
        return taken

    def _start(self, replica: Replica, jobs: list[_Job]) -> None:
        task = asyncio.create_task(self._deliver(replica, jobs), context=jobs[0].context)
        under_way = UnderWay(replica, jobs, time.monotonic(), task)
        self._under_way.add(under_way)
        task.add_done_callback(lambda _: self._ended(under_way))

    def _ended(self, under_way: UnderWay) -> None:
        self._under_way.discard(under_way)
        under_way.replica.under_way -= _candidates(under_way.jobs)
        if self._chores:
            # A post that was given up has left its work unanswered.
            for job in under_way.jobs:
                if not job.future.done():
                    self._again(job, under_way.replica, "gave no answer")
            self._dispatch()
        else:
            for job in under_way.jobs:
                _fail(job, ScorerUnavailable(f"{self.name} is closed"))

    async def _deliver(self, replica: Replica, jobs: list[_Job]) -> None:
        started = time.monotonic()
        left = max(job.due for job in jobs) - started
        groups = [job.group for job in jobs]
        outcome = await send(self._post, replica, groups, tokens=jobs[0].tokens, seconds=left)
        if isinstance(outcome, Answered):
            seconds = time.monotonic() - started
            replica.answered()
            self._note(jobs, seconds)
            for job, result in zip(jobs, outcome.groups, strict=True):
                if not job.future.done():
                    job.future.set_result(result)
        elif isinstance(outcome, Busy):
            replica.busy(outcome.seconds)
            rest_s = self._replicas.rest_left()
            for job in jobs:
                if rest_s >= job.due - time.monotonic():
                    _fail(job, Overloaded(f"{self.name} is busy everywhere", retry_after=rest_s))
                elif not job.future.done():
                    self._queue.push(job.caller, job, len(job.group.candidates))
        elif isinstance(outcome, Rejected) and not (outcome.too_large and len(jobs) > 1):
            for job in jobs:
                _fail(job, ScorerUnavailable(f"{self.name} at {replica.url} {outcome.reason}"))
        else:
            if isinstance(outcome, Broken) and outcome.away:
                replica.fails(outcome.reason)
            for job in jobs:
                self._again(job, replica, outcome.reason)

    def _again(self, job: _Job, replica: Replica, reason: str) -> None:
        job.avoid.append(replica)
        if len(job.avoid) >= TRIES:
            _fail(job, ScorerUnavailable(f"{self.name} at {replica.url} {reason}; tried {TRIES} times"))
        elif not job.future.done():
            self._retries += 1
            self._queue.push(job.caller, job, len(job.group.candidates))

    def _note(self, jobs: list[_Job], seconds: float) -> None:
        self._last_worked = self._last_well = time.monotonic()
        self._usual_s = seconds if self._usual_s is None else 0.9 * self._usual_s + 0.1 * seconds
        self._done = self._done._replace(
            batches=self._done.batches + 1,
            batch_items=self._done.batch_items + len(jobs),
            batch_cost=self._done.batch_cost + _candidates(jobs),
            busy_s=self._done.busy_s + seconds,
        )

    # --- chores -------------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Give up what cannot be done, and hand out what waits."""
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            await look_after(self._replicas, self._under_way, usual_s=self._usual_s or self._timeout_s)
            now = time.monotonic()
            if any(replica.well for replica in self._replicas):
                self._last_well = now
            elif now - self._last_well > PATIENCE_S:
                for job in self._queue.drain(waited_s=PATIENCE_S):
                    _fail(job, ScorerUnavailable(f"{self.name}: no replica of {','.join(self._urls)} answers"))
            self._dispatch()

    async def _watch_addresses(self) -> None:
        while True:
            await asyncio.sleep(LOOK_UP_EVERY_S)
            await self._replicas.look_up()
            self._dispatch()

    async def _watch_info(self) -> None:
        while True:
            for replica in self._replicas:
                with contextlib.suppress(httpx.HTTPError, ValueError, KeyError, TypeError):
                    async with replica.client() as client:
                        response = await client.get("/v1/info", timeout=INFO_EVERY_S)
                    self._served_by = dict(response.raise_for_status().json()["scorers"][self.name])
                    break
            await asyncio.sleep(INFO_EVERY_S)


def _candidates(jobs: Sequence[_Job]) -> int:
    return sum(len(job.group.candidates) for job in jobs)


def _fail(job: _Job, trouble: RewrightError) -> None:
    if not job.future.done():
        job.future.set_exception(trouble)


def _sound(outcome: Any) -> Any:
    """A result as it is; what else was raised is raised again."""
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
