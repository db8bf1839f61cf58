"""What a build asks of the service: every component of a group of candidates, the NLL of a reference, the diversity.

Promises: a service that is away, overloaded or failing is asked again until it has been of no use for `patience_s`;
then, and for whatever it refuses forever, `ServiceTrouble` is raised. Trouble of the service never becomes a verdict.
A gold answer that cannot be read is the data's doing: `CorpusError`, since the corpus step should have left it out.

Not covered: ordering and falling back (`rewright.trainer.build.stream`).
"""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.wire import NllScored, RequestError, RewardScored, RewrightError, ScorerOff
from rewright.trainer.build.rows import ReferenceNll
from rewright.trainer.data.samples import Sample
from rewright.trainer.errors import CorpusError, ServiceTrouble
from rewright.trainer.recipes.build import Service

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
UNSCORABLE = frozenset({"too_long", "blank", "control_tokens"})
"""Item codes of /v1/nll that say something about the text: it has no NLL under this π0."""

Found = TypeVar("Found")


class Unusable(Exception):
    """The service answered, but this item failed by its doing."""


class Checks:
    """Bound to one event loop. rule: what `total` is made of, the service's default where there is none.

    service_busy_s: seconds in which at least one request was under way.
    """

    def __init__(self, service: Service, *, api_key: str | None, rule: dict[str, Any] | None) -> None:
        self._rule = rule
        self._patience_s = service.patience_s
        self._client = AsyncRewardClient(
            list(service.base_urls),
            api_key=api_key,
            deadline_s=None,
            patience_s=service.patience_s,
            concurrency=service.concurrency,
        )
        self._slots = asyncio.Semaphore(service.concurrency)
        self._under_way = 0
        self._busy_since = 0.0
        self.service_busy_s = 0.0

    async def candidates(self, sample: Sample, texts: Sequence[str]) -> list[RewardScored]:
        """The gate and every component of each candidate, all in one group; a group with a failed member is asked for
        again whole, since its statistics are over all of them."""

        async def ask() -> list[RewardScored]:
            scores = await self._client.reward([_group(sample, texts)], rule=self._rule)
            scored = []
            for item in scores.groups[0].candidates:
                if isinstance(item, RewardScored):
                    scored.append(item)
                elif item.error.code == "bad_gold":
                    raise CorpusError(
                        f"the verifier cannot read the gold answer of {sample.id!r} ({item.error.message}); set "
                        "corpus.check_golds to true, so that such samples are left out, and use a new folder"
                    )
                else:
                    raise Unusable(f"{item.error.code}, {item.error.message}")
            return scored

        return await self._patiently(ask, f"a candidate of {sample.id!r}")

    async def reference(self, sample: Sample) -> ReferenceNll:
        """eq. 6 of y*."""

        async def ask() -> ReferenceNll:
            scores = await self._client.nll([_group(sample, [sample.reference])])
            item = scores.groups[0].candidates[0]
            if isinstance(item, NllScored):
                return ReferenceNll(item.nll)
            if item.error.code in UNSCORABLE:
                return ReferenceNll(None)
            raise Unusable(f"{item.error.code}, {item.error.message}")

        return await self._patiently(ask, f"the reference of {sample.id!r}")

    async def diversity(self, texts: Sequence[str]) -> float | None:
        """D (eq. 10) of a set of texts; None for fewer than two."""
        members = [text for text in texts if text.strip()]
        if len(members) < 2:
            return None

        async def ask() -> float | None:
            scores = await self._client.diversity([{"id": "dataset", "candidates": members}])
            if failed := next((c for c in scores.groups[0].candidates if c.status == "failed"), None):
                raise Unusable(f"{failed.error.code}, {failed.error.message}")
            return scores.groups[0].diversity

        return await self._patiently(ask, "the dataset's diversity")

    async def close(self) -> None:
        await self._client.aclose()

    async def _patiently(self, ask: Callable[[], Awaitable[Found]], what: str) -> Found:
        pause = FIRST_PAUSE_S
        async with self._slots:
            since = time.monotonic()
            while True:
                try:
                    return await self._counted(ask)
                except (RequestError, ScorerOff) as refused:
                    if not refused.retryable:
                        raise ServiceTrouble(f"the service refuses {what}: {refused.message}") from refused
                    trouble: Exception = refused
                except (RewrightError, Unusable) as failed:
                    trouble = failed
                if time.monotonic() - since + pause > self._patience_s:
                    raise ServiceTrouble(
                        f"the service could not score {what} within service.patience_s = {self._patience_s:g} s: "
                        f"{trouble}. What is written is kept; run the same command again to go on from there"
                    ) from trouble
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(LONGEST_PAUSE_S, 2 * pause)

    async def _counted(self, ask: Callable[[], Awaitable[Found]]) -> Found:
        if self._under_way == 0:
            self._busy_since = time.monotonic()
        self._under_way += 1
        try:
            return await ask()
        finally:
            self._under_way -= 1
            if self._under_way == 0:
                self.service_busy_s += time.monotonic() - self._busy_since


@contextmanager
def open_checks(
    service: Service, *, api_key: str | None, rule: dict[str, Any] | None
) -> Iterator[tuple[Checks, asyncio.AbstractEventLoop]]:
    """Checks on an event loop of its own, whose thread scores while the caller's writes."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="rewright-build", daemon=True)
    thread.start()

    async def opened() -> Checks:
        return Checks(service, api_key=api_key, rule=rule)

    async def closed(checks: Checks) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await checks.close()

    checks = asyncio.run_coroutine_threadsafe(opened(), loop).result()
    try:
        yield checks, loop
    finally:
        asyncio.run_coroutine_threadsafe(closed(checks), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _group(sample: Sample, candidates: Sequence[str]) -> dict[str, Any]:
    return {
        "id": sample.id[:512] or "sample",
        "problem": sample.problem,
        "reference": sample.reference,
        "answer": sample.answer,
        "candidates": list(candidates),
    }
