"""The service's Python clients: `AsyncRewardClient`, and `RewardClient` that drives it on a thread of its own.

    with RewardClient("http://127.0.0.1:8000") as client:
        scores = client.reward([{"problem": "…", "reference": "…", "candidates": ["…", "…"]}])
        totals = [[candidate.total for candidate in group.candidates] for group in scores.groups]

Promises, for both:

- results are the models of `rewright.service.schema`, one per group in the order given; a candidate that could not be
  scored has `total` None and its error, never a number;
- big calls are cut between groups, sent with bounded concurrency over all base URLs and put together in order;
- 429 (honouring Retry-After), 503, 504 and lost connections are tried again with jitter until the deadline, on another
  base URL where there is one; a request that took too long is cut in two; a group with retryable failures is sent again
  whole;
- anything else becomes the exception of `rewright.service.errors` that the service meant. A 503 that says it is not
  retryable (a scorer that is off) is one of them;
- when the deadline passes, `DeadlineExceeded` is raised if nothing at all was answered. Otherwise the groups without an
  answer come back with every candidate failed as `deadline_exceeded`, retryable
  (`rewright.clients.transport.unanswered`), and groups with failures as they were answered last.

An async client may be used from one event loop after another: connections belong to the loop that made them, and those
of a dead loop are never used again. The sync client works inside a running loop (notebooks) and after a fork.
Not covered: streaming, and what a number means (`rewright.service.schema`).
"""

import asyncio
import functools
import math
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

import httpx

from rewright.clients.transport.answers import json_object
from rewright.clients.transport.background_loop import BackgroundLoop
from rewright.clients.transport.batches import named, parsed_rule
from rewright.clients.transport.deadline import Deadline
from rewright.clients.transport.replicas import Replicas
from rewright.clients.transport.retrying import RetryingTransport
from rewright.clients.transport.scoring_call import BatchLimits, Scores, ScoringCall
from rewright.clients.transport.unanswered import UnansweredRewardGroup
from rewright.service.errors import InvalidRequest
from rewright.service.schema import (
    AnyGroup,
    DiversityGroup,
    Group,
    GroupScores,
    JudgeGroup,
    NllGroup,
    RewardGroup,
    Rule,
    VerifyGroup,
)

CONNECT_S = 5.0
INFO = "/v1/info"
Groups: TypeAlias = Sequence[Group | dict[str, Any]]
RewardScores: TypeAlias = Scores[RewardGroup | UnansweredRewardGroup]

RESULTS: dict[str, type[GroupScores[Any]]] = {
    "verify": VerifyGroup,
    "judge": JudgeGroup,
    "nll": NllGroup,
    "diversity": DiversityGroup,
    "reward": RewardGroup,
}
"""The results that this client has models of, by endpoint."""


@dataclass
class _OfLoop:
    """What belongs to one event loop. users: contexts of the client that are open there."""

    pool: httpx.AsyncClient
    slots: asyncio.Semaphore
    users: int = 0


@functools.cache
def tls() -> ssl.SSLContext:
    """The machine's certificates."""
    # Loading the certificates takes longer than a small request; once a process is enough.
    return httpx.create_ssl_context()


class AsyncRewardClient:
    """base_urls: one or several replicas of one service, such as `http://127.0.0.1:8000`.

    deadline_s: seconds for a whole call, None for no limit; patience_s: a call also ends when no group was settled for
    so long; request_s: longest wait for one request (the service has a limit of its own); concurrency: requests under
    way at once; batch_candidates, batch_characters: the most one request holds, unless a single group is larger;
    longest_pause_s: no pause between tries is longer, whatever a Retry-After asks for.

    Raises `InvalidRequest` for arguments that cannot work. Close it with `aclose`, or use it as a context manager,
    which several tasks of a loop may do at once: the last to leave closes the connections.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        api_key: str | None = None,
        deadline_s: float | None = 600.0,
        patience_s: float | None = None,
        request_s: float = 120.0,
        concurrency: int = 8,
        batch_candidates: int = 32,
        batch_characters: int = 2_000_000,
        longest_pause_s: float = 60.0,
    ) -> None:
        numbers = {
            "deadline_s": deadline_s,
            "patience_s": patience_s,
            "request_s": request_s,
            "concurrency": concurrency,
            "batch_candidates": batch_candidates,
            "batch_characters": batch_characters,
            "longest_pause_s": longest_pause_s,
        }
        for name, value in numbers.items():
            if value is not None or name not in ("deadline_s", "patience_s"):
                _check_positive(name, value)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise InvalidRequest("api_key holds characters that no HTTP header can carry; is there a line end in it?")
        self._replicas = Replicas(base_urls, longest_pause_s=longest_pause_s)
        self._longest_pause_s = longest_pause_s
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._request_s = request_s
        self._concurrency = concurrency
        self._limits = BatchLimits(batch_candidates, batch_characters)
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = WeakKeyDictionary()

    async def reward(
        self, groups: Groups, *, rule: Rule | Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> RewardScores:
        """The gated reward of each candidate with every component (eq. 3).

        One result per group in order, and in it one per candidate. rule: the weights and the variant, None for the
        defaults; deadline_s: in place of the client's, for this call. Errors: see the module.
        """
        return await self._score("reward", RewardGroup, groups, deadline_s, rule=parsed_rule(rule))

    async def verify(self, groups: Groups, *, deadline_s: float | None = None) -> Scores[VerifyGroup]:
        """v_ans of each candidate (eq. 4), as `correct`. Order, deadline and errors as for `reward`."""
        return await self._score("verify", VerifyGroup, groups, deadline_s)

    async def judge(self, groups: Groups, *, deadline_s: float | None = None) -> Scores[JudgeGroup]:
        """v_rea of each candidate (eq. 4), as `valid`. Order, deadline and errors as for `reward`."""
        return await self._score("judge", JudgeGroup, groups, deadline_s)

    async def nll(self, groups: Groups, *, tokens: bool = False, deadline_s: float | None = None) -> Scores[NllGroup]:
        """Length-normalised NLL of each candidate under π0 (eq. 6), nats per token.

        tokens: with every token's log-probability, in nats. Order, deadline and errors as for `reward`.
        """
        return await self._score("nll", NllGroup, groups, deadline_s, tokens=tokens)

    async def diversity(
        self, groups: Groups, *, similarities: bool = False, deadline_s: float | None = None
    ) -> Scores[DiversityGroup]:
        """r_div of each candidate, and D of the group (eq. 9 to 12).

        similarities: with each group's `similarities`, K rows of K cosines in [-1, 1] of its K candidates' embeddings;
        None in place of a row, and in the rows of the others, for a candidate that is no member or was not embedded.
        `InvalidRequest` for a group of more than 256 candidates. Order, deadline and errors as for `reward`.
        """
        return await self._score("diversity", DiversityGroup, groups, deadline_s, similarities=similarities)

    async def score(self, name: str, groups: Groups, *, deadline_s: float | None = None) -> Scores[Any]:
        """What the scorer of that name says, a plug-in's too: `groups[k].candidates[i].score` of one that gives one
        number per candidate. The service must have it on (`/v1/info` lists them).

        Raises `InvalidRequest` for what cannot be a scorer's name, `NotFound` where the service knows none so named.
        """
        if not (name.isidentifier() and name.isascii()):
            raise InvalidRequest(f"{name!r} cannot be a scorer's name; /v1/info lists those of the service")
        return await self._score(name, RESULTS.get(name, AnyGroup), groups, deadline_s)

    async def info(self, *, rule: Rule | None = None, deadline_s: float | None = None) -> dict[str, Any]:
        """The service's resolved, secret-free configuration and models; rule: what `sample_schema` is told for.

        Raises `InternalError` for an answer that is no JSON object; other errors and the deadline as for `reward`.
        """
        deadline = self._deadline(deadline_s)
        asked = "" if rule is None else "?" + urlencode({"rule": rule.model_dump_json(exclude_defaults=True)})
        path = INFO + asked
        read = functools.partial(json_object, path=INFO)
        return await self._transport(deadline).ask("GET", path, read=read)

    async def aclose(self) -> None:
        """Give the connections of this loop back."""
        mine = self._loops.pop(asyncio.get_running_loop(), None)
        if mine is not None:
            await mine.pool.aclose()

    async def __aenter__(self) -> Self:
        self._mine().users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mine = self._mine()
        mine.users -= 1
        if mine.users <= 0:
            await self.aclose()

    async def _score(
        self,
        endpoint: str,
        result: type[GroupScores[Any]],
        groups: Groups,
        deadline_s: float | None,
        rule: Rule = Rule(),  # noqa: B008
        **options: bool,
    ) -> Scores[Any]:
        deadline = self._deadline(deadline_s)
        call = ScoringCall(
            endpoint,
            result,
            transport=self._transport(deadline),
            deadline=deadline,
            slots=self._mine().slots,
            limits=self._limits,
            longest_pause_s=self._longest_pause_s,
            rule=rule,
            options=[name for name, on in options.items() if on],
        )
        return await call.run(named(groups))

    def _deadline(self, deadline_s: float | None) -> Deadline:
        if deadline_s is None:
            return Deadline(deadline_s=self._deadline_s, patience_s=self._patience_s)
        _check_positive("deadline_s", deadline_s)
        return Deadline(deadline_s=deadline_s, patience_s=self._patience_s)

    def _transport(self, deadline: Deadline) -> RetryingTransport:
        return RetryingTransport(self._replicas, self._mine().pool, deadline=deadline, request_s=self._request_s)

    def _mine(self) -> _OfLoop:
        loop = asyncio.get_running_loop()
        mine = self._loops.get(loop)
        if mine is None:
            pool = httpx.AsyncClient(
                headers=self._headers,
                # The transport keeps the time of an exchange itself; a dead host is found out sooner.
                timeout=httpx.Timeout(None, connect=CONNECT_S),
                verify=tls(),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=self._concurrency),
            )
            mine = self._loops[loop] = _OfLoop(pool, asyncio.Semaphore(self._concurrency))
        return mine


def _check_positive(name: str, value: object) -> None:
    # True is a number to Python.
    if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf):
        raise InvalidRequest(f"{name} must be a number above 0, not {value!r}")


class RewardClient:
    """The same client for sync code: same arguments, methods, results and errors as `AsyncRewardClient`."""

    def __init__(self, base_urls: str | Sequence[str], **options: Any) -> None:
        self._client = AsyncRewardClient(base_urls, **options)
        self._loop = BackgroundLoop()

    def reward(
        self, groups: Groups, *, rule: Rule | Mapping[str, Any] | None = None, deadline_s: float | None = None
    ) -> RewardScores:
        """As `AsyncRewardClient.reward`."""
        return self._loop.run(self._client.reward(groups, rule=rule, deadline_s=deadline_s))

    def verify(self, groups: Groups, *, deadline_s: float | None = None) -> Scores[VerifyGroup]:
        """As `AsyncRewardClient.verify`."""
        return self._loop.run(self._client.verify(groups, deadline_s=deadline_s))

    def judge(self, groups: Groups, *, deadline_s: float | None = None) -> Scores[JudgeGroup]:
        """As `AsyncRewardClient.judge`."""
        return self._loop.run(self._client.judge(groups, deadline_s=deadline_s))

    def nll(self, groups: Groups, *, tokens: bool = False, deadline_s: float | None = None) -> Scores[NllGroup]:
        """As `AsyncRewardClient.nll`."""
        return self._loop.run(self._client.nll(groups, tokens=tokens, deadline_s=deadline_s))

    def diversity(
        self, groups: Groups, *, similarities: bool = False, deadline_s: float | None = None
    ) -> Scores[DiversityGroup]:
        """As `AsyncRewardClient.diversity`."""
        return self._loop.run(self._client.diversity(groups, similarities=similarities, deadline_s=deadline_s))

    def score(self, name: str, groups: Groups, *, deadline_s: float | None = None) -> Scores[Any]:
        """What the scorer of that name says, a plug-in's too."""
        return self._loop.run(self._client.score(name, groups, deadline_s=deadline_s))

    def info(self, *, rule: Rule | None = None, deadline_s: float | None = None) -> dict[str, Any]:
        """As `AsyncRewardClient.info`."""
        return self._loop.run(self._client.info(rule=rule, deadline_s=deadline_s))

    def close(self) -> None:
        """Give the connections back and end the thread."""
        self._loop.run(self._client.aclose())
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
