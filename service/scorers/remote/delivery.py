"""Groups on their way to replicas: who gets them next, and what is done with each answer.

Knows nothing of addresses, of health checks and of requests; `rewright.service.scorers.remote.scorer` says what the
rules are.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from rewright.service.core.batcher import QueueState
from rewright.service.core.fair_queue import Entry, FairQueue
from rewright.service.core.logs import exception_location
from rewright.service.errors import Overloaded, RewrightError, ScorerUnavailable
from rewright.service.scorers.remote.generations import Generation, Generations, Said
from rewright.service.scorers.remote.health import UnderWay, strike
from rewright.service.scorers.remote.job import Job, Kept, candidates_of, fail
from rewright.service.scorers.remote.post import Answered, Broken, Busy, Post, Refused, send
from rewright.service.scorers.remote.replicas import POST_CANDIDATES, Replica, Replicas

log = logging.getLogger(__name__)

TRIES = 3
PATIENCE_S = 3.0
"""Work waits so long for a replica while none is well."""


class Delivery:
    """The work of one remote scorer that waits or is under way.

    sticky: keep a problem at its replica. Nothing happens by itself: whoever owns it calls `dispatch` when something
    may have changed.
    """

    def __init__(self, post: Post[Any], replicas: Replicas, generations: Generations, *, sticky: bool) -> None:
        self._name = post.name
        self._post = post
        self._replicas = replicas
        self._generations = generations
        self._sticky = sticky
        self._queue: FairQueue[Job] = FairQueue(head_start=POST_CANDIDATES)
        self._held: list[Job] = []
        self._closed = False
        self._soon: asyncio.Handle | None = None
        self._done = QueueState(0, 0, 0.0)
        self.under_way: set[UnderWay] = set()
        self.last_worked: float | None = None
        self.usual_s: float | None = None
        self.retries = 0

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take in work. It goes once everybody has had a turn who was woken at the same time, by an answer to several
        groups, say: one post for each of them would cost many times as much.
        """
        for job in jobs:
            self._enqueue(job)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._dispatch_soon)

    def _dispatch_soon(self) -> None:
        self._soon = None
        self.dispatch()

    def forget(self, jobs: Sequence[Job]) -> None:
        """Nobody waits for these any more: out of the queue, and a post in which nobody's work is left is given up."""
        for job in jobs:
            if job.entry is not None:
                self._queue.take(job.entry, served=False)
            job.future.cancel()
        for under_way in list(self.under_way):
            if all(job.future.done() for job in under_way.jobs):
                under_way.task.cancel()

    def state(self) -> QueueState:
        """Groups that wait for a replica with room; a batch is a post, its cost candidates."""
        queue = self._queue
        return self._done._replace(waiting=len(queue), waiting_cost=queue.cost, oldest_wait_s=queue.oldest_wait_s())

    def fail_waiting(self, trouble: RewrightError, *, waited_s: float) -> None:
        """Give up what has waited so long."""
        for job in self._queue.drain(waited_s=waited_s):
            fail(job, trouble)

    async def close(self) -> None:
        self._closed = True
        tasks = [under_way.task for under_way in self.under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in [*self._queue.drain(), *self._held]:
            fail(job, ScorerUnavailable(f"{self._name} is closed"))

    def learn(self, replica: Replica, said: Said) -> None:
        """Note who the replica says it is."""
        if said == replica.said:
            return
        replica.said, replica.generation = said, self._generations.of(said)
        if self._generations.current is not None:
            self.settle()
            self._report(replica)

    def settle(self) -> None:
        """Choose the generation that is served again."""
        if self._generations.settle(self._replicas):
            for replica in self._replicas:
                self._report(replica)

    def _report(self, replica: Replica) -> None:
        if (how := self._generations.left_out(replica)) is not None:
            log.warning("replica %s of %s is left out, since it differs: %s", replica.url, self._name, how)

    def _enqueue(self, job: Job) -> None:
        if not job.future.done():
            job.entry = self._queue.push(job.caller, job, len(job.group.candidates))

    def dispatch(self) -> None:
        """Give waiting groups to replicas with room, those of one caller and replica together."""
        self._dispatch_held()
        plan: dict[tuple[Replica, str | None, frozenset[str]], list[Job]] = {}
        while (entry := self._queue.peek()) is not None:
            job = entry.item
            replica = self._replica_for(job)
            if replica is None:
                if self._wanted(job) is self._generations.current and not job.refused:
                    break
                # It waits for few replicas or one that may not come: the others need not wait with it.
                self._queue.take(entry, served=False)
                job.held_since = time.monotonic()
                self._held.append(job)
                continue
            taken = self._taken_together(entry, replica)
            if job.alone:
                self._start(replica, taken)
                continue
            together = plan.setdefault((replica, job.caller, job.options), [])
            if together and candidates_of(together) + candidates_of(taken) > POST_CANDIDATES:
                self._start(replica, together.copy())
                together.clear()
            together += taken
        for (replica, _, _), together in plan.items():
            if together:
                self._start(replica, together)
        self._fail_where_all_refuse()

    def _dispatch_held(self) -> None:
        held, self._held = self._held, []
        now = time.monotonic()
        for job in held:
            if job.future.done():
                continue
            wanted = self._wanted(job)
            if (replica := self._replica_for(job)) is not None:
                job.held_since = None
                replica.under_way += len(job.group.candidates)
                self._start(replica, [job])
            elif all(r.generation is not wanted for r in self._replicas):
                fail(job, ScorerUnavailable(f"{self._name}: the pods that began this request are gone; send it again"))
            elif now - (job.held_since or now) > PATIENCE_S:
                fail(job, ScorerUnavailable(f"{self._name}: no replica is left that may answer; {self.why_away()}"))
            else:
                self._held.append(job)

    def _fail_where_all_refuse(self) -> None:
        """Work need not wait for replicas that answer nobody here."""
        if len(self._queue) and len(self._replicas) and all(replica.refuses for replica in self._replicas):
            for job in self._queue.drain():
                fail(job, ScorerUnavailable(f"{self._name} is refused everywhere; {self.why_away()}"))

    def why_away(self) -> str:
        """Each replica that is away, and why."""
        return "; ".join(f"{replica.url} {replica.why}" for replica in self._replicas if not replica.well)

    def _wanted(self, job: Job) -> Generation | None:
        return job.pin.generation or self._generations.current

    def _replica_for(self, job: Job) -> Replica | None:
        wanted = self._wanted(job)
        if wanted is None:
            return None
        affinity = (job.group.problem or "") if self._sticky else None
        cost = len(job.group.candidates)
        return self._replicas.choose(cost, wanted, affinity=affinity, avoid=job.avoid, never=job.refused)

    def _taken_together(self, entry: Entry[Job], replica: Replica) -> list[Job]:
        """The group, and those next of its caller that go to the same replica, as many as fit into a post: where many
        callers wait for few replicas, turns of one group each would make posts of one group each."""
        taken: list[Job] = []
        following: Entry[Job] | None = entry
        size = 0
        while following is not None:
            self._queue.take(following)
            replica.under_way += following.cost
            size += following.cost
            taken.append(following.item)
            following = self._queue.next_of(entry)
            if following is None or entry.item.alone or following.item.alone:
                break
            if following.item.options != entry.item.options or size + following.cost > POST_CANDIDATES:
                break
            if self._replica_for(following.item) is not replica:
                break
        return taken

    def _start(self, replica: Replica, jobs: list[Job]) -> None:
        task = asyncio.create_task(self._deliver(replica, jobs), context=jobs[0].context)
        under_way = UnderWay(replica, jobs, time.monotonic(), task)
        self.under_way.add(under_way)
        task.add_done_callback(lambda _: self._ended(under_way))

    def _ended(self, under_way: UnderWay) -> None:
        self.under_way.discard(under_way)
        replica, task = under_way.replica, under_way.task
        replica.under_way -= candidates_of(under_way.jobs)
        if self._closed:
            for job in under_way.jobs:
                fail(job, ScorerUnavailable(f"{self._name} is closed"))
            return
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("a post of %s raised %s", self._name, exception_location(error))
        if task.cancelled() or error is not None:
            # Given up: nobody has done anything about its work yet.
            for job in under_way.jobs:
                if not job.future.done():
                    self._again(job, replica, "gave no answer")
        self.dispatch()

    async def _deliver(self, replica: Replica, jobs: list[Job]) -> None:
        started = time.monotonic()
        left = max(job.due for job in jobs) - started
        groups = [job.group for job in jobs]
        outcome = await send(self._post, replica, groups, options=jobs[0].options, seconds=left)
        if isinstance(outcome, Answered):
            replica.answered()
            self._note(jobs, time.monotonic() - started)
            self._take(replica, jobs, outcome)
        elif isinstance(outcome, Busy):
            replica.busy(outcome.seconds)
            for job in jobs:
                self._later(job)
        elif isinstance(outcome, Refused) and (outcome.everything or len(jobs) == 1):
            if outcome.everything:
                replica.fails(outcome.reason, refuses=True, to_prove=True)
            for job in jobs:
                self._refused(job, replica, outcome.reason)
        elif isinstance(outcome, Broken) and (outcome.away or len(jobs) == 1):
            if outcome.away:
                replica.fails(outcome.reason)
            for job in jobs:
                self._again(job, replica, outcome.reason)
        else:
            # One of them may have spoilt it for the others; alone each shows whether it is the group or the replica.
            for job in jobs:
                job.alone = True
                self.retries += 1
                self._enqueue(job)

    def _later(self, job: Job) -> None:
        rest_s = self._replicas.rest_left(self._wanted(job))
        if rest_s >= job.due - time.monotonic():
            fail(job, Overloaded(f"{self._name} is busy everywhere", retry_after=rest_s))
        else:
            self._enqueue(job)

    def _take(self, replica: Replica, jobs: list[Job], answer: Answered) -> None:
        """Hand results to those who wait, but for those that another replica may better, or another one must give."""
        self.learn(replica, answer.said)
        if len(answer.troubled) < len(jobs):
            replica.strikes = 0
        for place, (job, result) in enumerate(zip(jobs, answer.groups, strict=True)):
            if job.future.done():
                continue
            if place in answer.troubled:
                if job.kept is None and self._others(job, replica):
                    job.kept = Kept(replica, result)
                    self._again(job, replica, "scored nothing of the group")
                else:
                    # Without a number it is true of every generation.
                    job.future.set_result(result)
                continue
            if self._wanted(job) is not replica.generation:
                self._once_more(job, replica, "differs from the replicas in use")
                continue
            job.pin.generation = replica.generation
            for other in job.avoid:
                strike(other)
            job.future.set_result(result)

    def _others(self, job: Job, replica: Replica) -> bool:
        """Whether a replica is well that was not tried with this group."""
        wanted = self._wanted(job)
        return any(
            r.well and r.generation is wanted and r is not replica and r not in job.avoid for r in self._replicas
        )

    def _refused(self, job: Job, replica: Replica, reason: str) -> None:
        job.alone = True
        job.avoid.append(replica)
        job.refused.append(replica)
        pinned = job.pin.generation
        if any(
            not r.refuses and r not in job.refused and (not r.well or pinned in (None, r.generation))
            for r in self._replicas
        ):
            self.retries += 1
            self._enqueue(job)
        else:
            fail(job, ScorerUnavailable(f"{self._name} at {replica.url} {reason}"))

    def _again(self, job: Job, replica: Replica, reason: str) -> None:
        job.alone = True
        job.avoid.append(replica)
        self._once_more(job, replica, reason)

    def _once_more(self, job: Job, replica: Replica, reason: str) -> None:
        job.tries += 1
        if job.tries >= TRIES:
            fail(job, ScorerUnavailable(f"{self._name} at {replica.url} {reason}; tried {TRIES} times"))
        else:
            self.retries += 1
            self._enqueue(job)

    def _note(self, jobs: list[Job], seconds: float) -> None:
        self.last_worked = time.monotonic()
        self.usual_s = seconds if self.usual_s is None else 0.9 * self.usual_s + 0.1 * seconds
        self._done = self._done._replace(
            batches=self._done.batches + 1,
            batch_items=self._done.batch_items + len(jobs),
            batch_cost=self._done.batch_cost + candidates_of(jobs),
            busy_s=self._done.busy_s + seconds,
        )
