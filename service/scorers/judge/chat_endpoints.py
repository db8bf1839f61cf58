"""Calls to OpenAI-compatible chat completions over HTTP: one client, bounded concurrency, retries, failover.

Promises: at most `concurrency` calls under way; a call ends within `call_timeout_s` of its start (waiting for a slot is
not counted), retries included, however slowly an answer drips; an answer of more than `LONGEST_ANSWER` bytes, in an
encoding that was not asked for, or nested too deeply to be parsed is none.

What a server says by its status, and what is done
- connection trouble, timeouts, 408, 425, 5xx: passing trouble. Tried again, with jitter and no sooner than Retry-After
  asks. 429 is the same from a server that is well.
- 400, 413, 422, when the same server answers another question: this very text is refused. Another server is asked, and
  only where every one refused it the refusal is final (`Refused`).
- anything else (401, 404, 302, …), or 400 to every question: the server turns this service away, because a key, an
  address or a model is wrong. Never the text's fault, and not tried again within the call.

A server in trouble is passed over while another works, and asked something harmless every `ASK_BACK_S` seconds, to see
whether it is back. Servers that have all been down for a while get one try a call, so that a dead judge is neither
stormed nor waited for at length. Trouble is logged once when it begins and once when it is over.

Calls with the same `affinity` prefer the same server, whose prefix cache then knows their beginning.
Neither keys nor texts are logged. Not covered: streaming, and what the answer means.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic_core import from_json

from rewright.service.backoff import Backoff, retry_after_s
from rewright.service.core.bounded_read import Answer, AnswerRefused, exchange
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
ASK_BACK_S = 5.0
ASK_BACK_PATIENCE_S = 20.0
LONGEST_ANSWER = 1 << 20
"""Bytes. A verdict of one token with its 20 likeliest takes about 4,000, a rationale about as much."""
OTHER_QUESTION = "Is two plus two four? Answer in one word: Yes or No."
"""What a server is asked that refused a text, to tell whether it refuses everything; and one that may be back."""

_REFUSES_TEXT = (400, 413, 422)
_REFUSES_KEY = (401, 402, 403, 407)
_PASSING = (408, 425, 429)


class NoAnswer(Exception):
    """No server answered in time; the message says what the last one did and is safe to show."""


class Refused(Exception):
    """Every server says that the request itself is wrong. Their texts are dropped: they may repeat the request."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a try gave no answer. busy: the server is well; text: it may be this request's fault, with that status."""

    kind: Literal["passing", "busy", "turned_away", "text"]
    reason: str
    asked_s: float = 0.0
    status: int = 0


class _Server:
    def __init__(self, base_url: str) -> None:
        try:
            base = httpx.URL(base_url)
            # A query belongs behind the whole path: some hosts want a version or a key there.
            self.url = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL:
            raise SettingsError("scorers.judge.base_urls: an entry is no URL") from None
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise SettingsError("scorers.judge.base_urls: every entry must look like http://host:port/v1")
        self.shown = f"{self.url.host}:{self.url.port}" if self.url.port else self.url.host
        self.trouble: _Trouble | None = None
        self.since = 0.0
        """`time.monotonic()` of the beginning of the trouble."""
        self.answered_at = -1.0
        self.asked_other = asyncio.Lock()
        self._ask_back_at = 0.0

    def fails(self, trouble: _Trouble) -> None:
        now = time.monotonic()
        known = self.trouble
        if known is None:
            self.since = now
            self._ask_back_at = now + ASK_BACK_S
        self.trouble = trouble
        if trouble.kind == "turned_away" and (known is None or known.reason != trouble.reason):
            log.error("judge server %s turns this service away: %s", self.shown, trouble.reason)
        elif known is None:
            log.warning("judge server %s fails: %s", self.shown, trouble.reason)

    def answered(self) -> None:
        self.answered_at = time.monotonic()
        if self.trouble is not None:
            log.info("judge server %s answers again", self.shown)
            self.trouble = None

    def is_to_be_asked_back(self) -> bool:
        """Whether it is in trouble and it is time to find out whether it still is; then it is not for a while."""
        now = time.monotonic()
        if self.trouble is None or now < self._ask_back_at:
            return False
        self._ask_back_at = now + ASK_BACK_S
        return True


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
        self.retries = 0
        """Tries beyond the first of each call, since the start."""
        self._asking_back: set[asyncio.Task[bool]] = set()
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=concurrency),
        )

    def troubles(self) -> list[str]:
        """What ails the servers that do not answer, in words to act on; without keys and paths."""
        return [
            f"{server.shown}: {server.trouble.reason}, for {time.monotonic() - server.since:.0f} s"
            for server in self._servers
            if server.trouble is not None
        ]

    async def close(self) -> None:
        """Wait for calls under way, refuse those still waiting. May be called twice."""
        self._closing = True
        for task in self._asking_back:
            task.cancel()
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
            for server in self._servers:
                if server.is_to_be_asked_back():
                    task = asyncio.create_task(self._answers_another(server, body), context=Context())
                    self._asking_back.add(task)
                    task.add_done_callback(self._asking_back.discard)
            return await self._try_all(body, affinity, time.monotonic() + self._call_timeout_s)

    async def _try_all(self, body: dict[str, Any], affinity: str, deadline: float) -> dict[str, Any]:
        reason = "no time for a try"
        refused: dict[_Server, int] = {}
        turned_away: set[_Server] = set()
        tries = 0
        for round_ in range(ROUNDS):
            asked_s = 0.0
            servers = [s for s in self._in_order(affinity) if s not in refused and s not in turned_away]
            for place, server in enumerate(servers):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NoAnswer(f"deadline of {self._call_timeout_s:g} s passed; last: {reason}")
                self.retries += tries > 0
                tries += 1
                # A server that hangs must leave time for the others.
                outcome = await self._try(server, body, left / (len(servers) - place))
                if isinstance(outcome, dict):
                    return outcome
                reason = outcome.reason
                asked_s = max(asked_s, outcome.asked_s)
                if outcome.kind == "text":
                    refused[server] = outcome.status
                elif outcome.kind == "turned_away":
                    turned_away.add(server)
            if len(refused) == len(self._servers):
                raise Refused(max(refused.values()))
            if len(refused) + len(turned_away) == len(self._servers) or self._known_down():
                break
            pause = PAUSE.pause(round_ + 1, asked_s=asked_s)
            if round_ + 1 == ROUNDS or time.monotonic() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        raise NoAnswer(f"no judge server answered; last: {reason}")

    async def _try(self, server: _Server, body: dict[str, Any], seconds: float) -> dict[str, Any] | _Trouble:
        """The answer of one server; else what is the matter, which the server then is known for."""
        started = time.monotonic()
        outcome = await self._post(server, body, seconds)
        if isinstance(outcome, _Trouble) and outcome.kind == "text":
            seconds -= time.monotonic() - started
            if not await self._answers_another(server, body, since=started, seconds=seconds):
                outcome = _Trouble(
                    "turned_away",
                    f"it refuses every question with HTTP {outcome.status}; check scorers.judge.model, and whether the "
                    "server takes the fields that the prompt needs",
                )
        if isinstance(outcome, dict):
            server.answered()
        elif outcome.kind in ("passing", "turned_away"):
            server.fails(outcome)
        return outcome

    async def _answers_another(
        self, server: _Server, body: dict[str, Any], *, since: float = math.inf, seconds: float = ASK_BACK_PATIENCE_S
    ) -> bool:
        """Whether the server has answered anything after `since`, or now answers a question that none can refuse."""
        other = {**body, "messages": [{"role": "user", "content": OTHER_QUESTION}]}
        try:
            async with asyncio.timeout(seconds), server.asked_other:
                if server.answered_at > since:
                    return True
                answer = await self._post(server, other, seconds)
        except TimeoutError:
            return False
        if isinstance(answer, dict):
            server.answered()
        return isinstance(answer, dict)

    async def _post(self, server: _Server, body: dict[str, Any], seconds: float) -> dict[str, Any] | _Trouble:
        request = self._client.build_request("POST", server.url, json=body)
        try:
            async with asyncio.timeout(seconds):
                # Read whatever its status is, so that the connection can be used again.
                answered = await exchange(self._client, request, most=LONGEST_ANSWER)
        except TimeoutError:
            return _Trouble("passing", "timed out")
        except httpx.RequestError as error:
            return _Trouble("passing", type(error).__name__)
        except AnswerRefused as refused:
            return _Trouble("passing", f"it {refused}")
        if answered.status != httpx.codes.OK:
            return _trouble(answered)
        try:
            # Unlike `json`, this has a bound on nesting and reports it as a ValueError.
            answer = from_json(answered.content, allow_inf_nan=False)
        except ValueError:
            return _Trouble("passing", "an answer that is not JSON")
        return answer if isinstance(answer, dict) else _Trouble("passing", "an answer that is not a JSON object")

    def _in_order(self, affinity: str) -> list[_Server]:
        """Working servers first; among them, the one that `affinity` points at and then its successors."""
        first = int.from_bytes(hashlib.sha256(affinity.encode("utf-8", "surrogatepass")).digest()[:8])
        first %= len(self._servers)
        turned = self._servers[first:] + self._servers[:first]
        return sorted(turned, key=lambda server: server.trouble is not None)

    def _known_down(self) -> bool:
        long_ago = time.monotonic() - KNOWN_DOWN_S
        return all(server.trouble is not None and server.since < long_ago for server in self._servers)


def _trouble(answer: Answer) -> _Trouble:
    """What a status that is not 200 says. Nothing of its body: that may repeat the request."""
    status = answer.status
    shown = f"HTTP {status}"
    if status in _PASSING or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        kind: Literal["busy", "passing"] = "busy" if status == httpx.codes.TOO_MANY_REQUESTS else "passing"
        return _Trouble(kind, shown, asked_s=retry_after_s(answer.headers.get("retry-after")))
    if status in _REFUSES_TEXT:
        return _Trouble("text", shown, status=status)
    settings = "api_key" if status in _REFUSES_KEY else "base_urls and scorers.judge.model"
    return _Trouble("turned_away", f"{shown}; check scorers.judge.{settings}")
