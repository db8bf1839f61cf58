"""The scorer protocol over HTTP, for a scorer in pods of its own: the same app, with that scorer local.

Groups wait in one fair queue and go, several to a post, to whichever replica has room; with `sticky` a group goes to
the same replica while that is well and has room, for the sake of its prefix cache. What another replica might answer
otherwise goes there:

- a group whose replica dies, hangs or is ending, alone from then on, so that a poisonous neighbour cannot take it down
  again; after `TRIES` it fails;
- a group that a replica refuses, once to each replica;
- a group of which a replica scored nothing, once; the better of the two answers counts.

A replica that is only busy (429) rests as long as it asks. Nothing waits longer than `timeout_s`, nor longer than the
request has. What cannot be scored is `Failed`, retryable, with the code `scorer_unavailable`, `overloaded` or
`deadline`; it never becomes a number.

All work of a request is answered by one generation of the replicas (`rewright.service.scorers.remote.generations`), so
that `served_by` is true of every number. Requests carry the request's id, what is left of its deadline, and its trace.
"""

import asyncio
import contextvars
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from rewright.service.core import request_context
from rewright.service.core.batcher import QueueState
from rewright.service.core.request_context import request_id, seconds_left
from rewright.service.errors import OutOfTime, RewrightError, ScorerUnavailable
from rewright.service.schema import Failed, Group, GroupScores
from rewright.service.scorers.base import ReplicaState
from rewright.service.scorers.remote.delivery import PATIENCE_S, Delivery
from rewright.service.scorers.remote.generations import Generations, Pin
from rewright.service.scorers.remote.health import ask, look_after
from rewright.service.scorers.remote.job import Job, fail
from rewright.service.scorers.remote.post import Post
from rewright.service.scorers.remote.replicas import LOOK_UP_EVERY_S, Replica, Replicas

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])

TEND_EVERY_S = 0.25


class RemoteScorer(Generic[GroupResult]):
    """A scorer whose `score` is posts to `/v1/{name}` of its replicas.

    result: the group model that an answer holds; urls: base URLs, each an address or a name with several; timeout_s:
    longest wait for one group; sticky: keep a problem at its replica.
    """

    checks_answers = True
    """Numbers were held to their ranges when the pods' answers were read."""

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
        self._replicas = Replicas(urls, api_key=api_key, connection_age_s=connection_age_s)
        self._generations = Generations(name)
        self._post = Post(name, result)
        self._delivery = Delivery(self._post, self._replicas, self._generations, sticky=sticky)
        self._chores: list[asyncio.Task[None]] = []
        self._asking: dict[Replica, asyncio.Task[None]] = {}
        self._last_well = time.monotonic()

    async def open(self) -> None:
        """Starts even when no pod is up yet: pods come and go in any order."""
        await self._replicas.look_up()
        self._last_well = time.monotonic()
        await asyncio.gather(*(self._introduce(replica) for replica in self._replicas))
        # Only now that all have said who they are, so that the most of them count, not the first.
        self._delivery.settle()
        chores = (self._tend(), self._watch_addresses())
        self._chores = [asyncio.create_task(chore, context=contextvars.Context()) for chore in chores]

    async def close(self) -> None:
        chores, self._chores = [*self._chores, *self._asking.values()], []
        for chore in chores:
            chore.cancel()
        await asyncio.gather(*chores, return_exceptions=True)
        await self._delivery.close()
        await self._replicas.close()

    async def score(self, groups: Sequence[Group], **options: bool) -> list[GroupResult]:
        """One result per group in order. Raises `ScorerUnavailable` or `Overloaded` where not one group got through.

        options: those of the scorer's spec, as in `rewright.service.schema.ScoreRequest`.
        """
        return await self._score(groups, frozenset(name for name, on in options.items() if on))

    def describe(self) -> dict[str, Any]:
        """Within a request: what the replicas say that answered it."""
        noted = (request_context.remembered() or {}).get(self.name)
        generation = noted.generation if isinstance(noted, Pin) and noted.generation else self._generations.current
        return {
            "where": "remote",
            "url": ",".join(self._urls),
            "reachable": any(replica.well for replica in self._replicas),
            "replicas": len(self._replicas),
            **(generation.said if generation is not None else {}),
        }

    def last_worked(self) -> float | None:
        return self._delivery.last_worked

    def queue_state(self) -> QueueState:
        """Groups that wait for a replica with room; a batch is a post, its cost candidates."""
        return self._delivery.state()

    def replica_state(self) -> ReplicaState:
        well = sum(replica.well for replica in self._replicas)
        different = sum(self._generations.left_out(replica) is not None for replica in self._replicas)
        return ReplicaState(well - different, len(self._replicas) - well, self._delivery.retries, different)

    def troubles(self) -> list[str]:
        """Each replica that gets no work, and why."""
        lines = []
        for replica in self._replicas:
            if not replica.well:
                lines.append(f"{self.name} at {replica.url} is away: {replica.why}")
            elif (how := self._generations.left_out(replica)) is not None:
                lines.append(f"{self.name} at {replica.url} is left out, since it differs: {how}")
        return lines

    # --- one call -----------------------------------------------------------------------------------------------------

    async def _score(self, groups: Sequence[Group], options: frozenset[str]) -> list[GroupResult]:
        if not self._chores:
            raise ScorerUnavailable(f"{self.name} is not open")
        left = seconds_left()
        patience = self._timeout_s if left is None else min(self._timeout_s, left)
        due = time.monotonic() + patience
        caller = request_id.get()
        noted = request_context.remembered()
        pin: Pin = noted.setdefault(self.name, Pin()) if noted is not None else Pin()
        loop = asyncio.get_running_loop()
        jobs = [Job(group, options, caller, due, loop.create_future(), pin) for group in groups]
        self._delivery.submit(jobs)
        try:
            _, late = await asyncio.wait([job.future for job in jobs], timeout=patience)
            if late:
                self._give_up(jobs, by_deadline=left is not None and left < self._timeout_s)
        finally:
            self._delivery.forget(jobs)
        troubles = [trouble for job in jobs if (trouble := job.future.exception()) is not None]
        for trouble in troubles:
            if not isinstance(trouble, RewrightError):
                raise trouble
        if troubles and len(troubles) == len(jobs) and not any(isinstance(t, OutOfTime) for t in troubles):
            raise troubles[0]
        return [
            self._failed(job.group, trouble)
            if isinstance(trouble := job.future.exception(), RewrightError)
            else job.future.result()
            for job in jobs
        ]

    def _give_up(self, jobs: list[Job], *, by_deadline: bool) -> None:
        trouble = (
            OutOfTime(f"{self.name} was not done by the request's deadline")
            if by_deadline
            else ScorerUnavailable(f"{self.name} did not answer in {self._timeout_s:g} s (timeout_s)")
        )
        for job in jobs:
            fail(job, trouble)

    def _failed(self, group: Group, trouble: RewrightError) -> GroupResult:
        failed = Failed.because(trouble.code, trouble.message, retryable=True)
        # What else a group's result holds is told of scored candidates, and there are none.
        nothing = dict.fromkeys(self._result.model_fields)
        return self._result.model_validate(
            nothing | {"id": group.id or "", "candidates": [failed] * len(group.candidates)}
        )

    # --- chores -------------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Give up what cannot be done, ask those who are away, and hand out what waits."""
        while True:
            await asyncio.sleep(TEND_EVERY_S)
            delivery = self._delivery
            await look_after(self._replicas, delivery.under_way, usual_s=delivery.usual_s or self._timeout_s)
            self._ask_away()
            delivery.settle()
            now = time.monotonic()
            if any(replica.well for replica in self._replicas):
                self._last_well = now
            elif now - self._last_well > PATIENCE_S:
                nobody = ScorerUnavailable(f"{self.name}: no replica answers; {delivery.why_away()}")
                delivery.fail_waiting(nobody, waited_s=PATIENCE_S)
            delivery.dispatch()

    async def _watch_addresses(self) -> None:
        while True:
            await asyncio.sleep(LOOK_UP_EVERY_S)
            await self._replicas.look_up()
            self._ask_away()
            self._delivery.dispatch()

    def _ask_away(self) -> None:
        """Ask those who are away and have rested, each beside the others: one may take long to prove itself."""
        now = time.monotonic()
        for replica in self._replicas:
            if not replica.well and replica.rests_until <= now and replica not in self._asking:
                task = asyncio.create_task(self._ask(replica), context=contextvars.Context())
                self._asking[replica] = task

    async def _ask(self, replica: Replica) -> None:
        try:
            await self._introduce(replica)
        finally:
            del self._asking[replica]
        self._delivery.settle()
        self._delivery.dispatch()

    async def _introduce(self, replica: Replica) -> None:
        said = await ask(replica, self._post)
        if said is not None:
            replica.returns()
            self._delivery.learn(replica, said)
