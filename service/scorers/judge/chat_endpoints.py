"""Calls to OpenAI-compatible chat completions over HTTP: one client, bounded concurrency, retries, failover.

Promises: at most `concurrency` calls under way; a call ends within `call_timeout_s` of its start (waiting for a slot is
not counted), retries included; retried are connection trouble, timeouts, 408, 429 and 5xx, and nothing else, with
jitter and no sooner than Retry-After asks; a server that fails is passed over while another works; servers that have
all been down for a while get one try a call, so that a dead judge is neither stormed nor waited for at length.

Calls with the same `affinity` prefer the same server, whose prefix cache then knows their beginning.
Neither keys nor texts are logged. Not covered: streaming, and what the answer means.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Sequence
from typing import Any

import httpx

from rewright.service.backoff import Backoff, retry_after_s
from rewright.service.core.fair_semaphore import FairSemaphore
from rewright.service.errors import ScorerUnavailable, SettingsError

log = logging.getLogger(__name__)

ROUNDS = 4
"""Tries a server and call."""
PAUSE = Backoff(first_s=0.3, longest_s=2.0)
"""Between rounds of tries."""
CONNECT_S = 5.0
KNOWN_DOWN_S = 5.0
"""Once every server has been failing for this long, a call is not retried."""


class NoAnswer(Exception):
    """No server answered in time; the message says what the last one did and is safe to show."""


class Refused(Exception):
    """A server says that the request itself is wrong. Its text is dropped: it may repeat the request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class _Server:
    def __init__(self, base_url: str) -> None:
        try:
            self.url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL as error:
            raise SettingsError(f"scorers.judge.base_urls: {error}") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise SettingsError("scorers.judge.base_urls: every entry must look like http://host:port/v1")
        self.shown = f"{self.url.host}:{self.url.port}" if self.url.port else self.url.host
        self.down_since: float | None = None
        self._refusals: set[int] = set()

    def refused(self, status: int) -> None:
        if status not in self._refusals:
            self._refusals.add(status)
            log.warning("judge server %s refuses requests with HTTP %d (said once)", self.shown, status)

    def failed(self, reason: str) -> None:
        if self.down_since is None:
            self.down_since = time.monotonic()
            log.warning("judge server %s fails: %s", self.shown, reason)

    def answered(self) -> None:
        if self.down_since is not None:
            log.info("judge server %s answers again", self.shown)
            self.down_since = None


class ChatEndpoints:
    """Must be created where its event loop runs. Raises `SettingsError` for a base URL that is none."""

    def __init__(
        self, base_urls: Sequence[str], *, api_key: str | None, concurrency: int, call_timeout_s: float
    ) -> None:
        self._servers = [_Server(url) for url in base_urls]
        self._call_timeout_s = call_timeout_s
        self._concurrency = concurrency
        self._slots = FairSemaphore(concurrency)
        self._closing = False
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
        )

    async def close(self) -> None:
        """Wait for calls under way, refuse those still waiting. May be called twice."""
        self._closing = True
        for _ in range(self._concurrency):
            await self._slots.acquire()
        await self._client.aclose()
        for _ in range(self._concurrency):
            self._slots.release()

    async def complete(self, body: dict[str, Any], *, affinity: str) -> dict[str, Any]:
        """The JSON object that a server answered.

        Raises `NoAnswer`, `Refused`, and `ScorerUnavailable` once closed.
        """
        async with self._slots:
            if self._closing:
                raise ScorerUnavailable("the judge is closed")
            return await self._try_all(body, affinity, time.monotonic() + self._call_timeout_s)

    async def _try_all(self, body: dict[str, Any], affinity: str, deadline: float) -> dict[str, Any]:
        reason = "no time for a try"
        for round_ in range(ROUNDS):
            asked_s = 0.0
            servers = self._in_order(affinity)
            for place, server in enumerate(servers):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NoAnswer(f"deadline of {self._call_timeout_s:g} s passed; last: {reason}")
                try:
                    # A server that hangs must leave time for the others.
                    async with asyncio.timeout(left / (len(servers) - place)):
                        response = await self._client.post(server.url, json=body)
                        content = _json_object(response)
                except TimeoutError:
                    reason = "timed out"
                except httpx.RequestError as error:
                    reason = type(error).__name__
                except Refused as refusal:
                    server.answered()
                    server.refused(refusal.status)
                    raise
                else:
                    if isinstance(content, dict):
                        server.answered()
                        return content
                    reason = content
                    asked_s = max(asked_s, retry_after_s(response.headers.get("retry-after")))
                    if response.status_code == 429:
                        continue  # alive, only busy
                server.failed(reason)
            if self._known_down():
                break
            pause = PAUSE.pause(round_ + 1, asked_s=asked_s)
            if round_ + 1 == ROUNDS or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        raise NoAnswer(f"no judge server answered; last: {reason}")

    def _in_order(self, affinity: str) -> list[_Server]:
        """Working servers first; among them, the one that `affinity` points at and then its successors."""
        first = int.from_bytes(hashlib.sha256(affinity.encode("utf-8", "surrogatepass")).digest()[:8])
        first %= len(self._servers)
        turned = self._servers[first:] + self._servers[:first]
        return sorted(turned, key=lambda server: server.down_since is not None)

    def _known_down(self) -> bool:
        long_ago = time.monotonic() - KNOWN_DOWN_S
        return all(server.down_since is not None and server.down_since < long_ago for server in self._servers)


def _json_object(response: httpx.Response) -> dict[str, Any] | str:
    """The answer's JSON object, or why another try is worth it. Raises `Refused` where none is."""
    if response.status_code in (408, 429) or response.status_code >= 500:
        return f"HTTP {response.status_code}"
    if response.status_code != 200:
        raise Refused(response.status_code)
    try:
        content = response.json()
    except ValueError:
        return "an answer that is not JSON"
    return content if isinstance(content, dict) else "an answer that is not a JSON object"
