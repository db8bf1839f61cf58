"""The scorer protocol over HTTP, for a scorer in a pod of its own: the same app, with that scorer local.

A pod that cannot be reached, refuses or answers out of shape makes every candidate asked for `Failed` with the code
`scorer_unavailable` (or the pod's own), retryable; it never becomes a number. What the pod says of its models is read
from its `/v1/info` now and then, so that `served_by` names who computed the score.

Not covered yet: several replicas, retries on another one, and keys between pods.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from service.errors import ScorerUnavailable
from service.schema import Group, GroupScores, NllGroup

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])
INFO_EVERY_S = 10.0


class RemoteScorer(Generic[GroupResult]):
    """A scorer whose `score` is a POST to `{url}/v1/{name}`.

    name: the endpoint; result: the group model that its answer holds; timeout_s: longest wait for one answer.
    """

    def __init__(self, name: str, result: type[GroupResult], *, url: str, timeout_s: float) -> None:
        self.name = name
        self._url = url.rstrip("/")
        self._results = TypeAdapter(list[result])  # type: ignore[valid-type]
        self._timeout_s = timeout_s
        self._client: httpx.AsyncClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._served_by: dict[str, Any] = {}
        self._reachable = False
        self._last_worked: float | None = None

    async def open(self) -> None:
        """Starts even when the pod is not up yet: pods come and go in any order."""
        self._client = httpx.AsyncClient(base_url=self._url, timeout=self._timeout_s)
        self._watch = asyncio.create_task(self._watch_info())

    async def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._client is not None:
            await self._client.aclose()

    async def score(self, groups: Sequence[Group]) -> list[GroupResult]:
        return await self._post({"groups": [g.model_dump(exclude_none=True) for g in groups]})

    def describe(self) -> dict[str, Any]:
        return {"where": "remote", "url": self._url, "reachable": self._reachable, **self._served_by}

    def last_worked(self) -> float | None:
        return self._last_worked

    async def _post(self, body: dict[str, Any]) -> list[GroupResult]:
        if self._client is None:
            raise ScorerUnavailable(f"{self.name} is not open")
        try:
            response = await self._client.post(f"/v1/{self.name}", json=body)
            answer = response.json()
        except httpx.HTTPError as trouble:
            self._reachable = False
            raise ScorerUnavailable(f"{self.name} at {self._url}: {type(trouble).__name__}") from trouble
        except ValueError as trouble:
            raise ScorerUnavailable(
                f"{self.name} at {self._url} answered {response.status_code} without JSON"
            ) from trouble
        if response.status_code != httpx.codes.OK:
            code = answer.get("error", {}).get("code") if isinstance(answer, dict) else None
            raise ScorerUnavailable(f"{self.name} at {self._url} answered {response.status_code} {code or ''}".rstrip())
        try:
            results: list[GroupResult] = self._results.validate_python(answer["groups"])
        except (ValidationError, KeyError, TypeError) as trouble:
            raise ScorerUnavailable(f"{self.name} at {self._url} answered in another shape") from trouble
        self._reachable = True
        self._last_worked = time.monotonic()
        return results

    async def _watch_info(self) -> None:
        while self._client is not None:
            try:
                info = (await self._client.get("/v1/info", timeout=INFO_EVERY_S)).raise_for_status().json()
                self._served_by = dict(info["scorers"][self.name])
                self._reachable = True
            except (httpx.HTTPError, ValueError, KeyError, TypeError):
                self._reachable = False
            await asyncio.sleep(INFO_EVERY_S)


class RemoteNll(RemoteScorer[NllGroup]):
    """π0's NLL in another pod, with its per-token option."""

    async def score(self, groups: Sequence[Group], *, tokens: bool = False) -> list[NllGroup]:
        return await self._post({"groups": [g.model_dump(exclude_none=True) for g in groups], "tokens": tokens})
