"""One post of groups to one replica, and what came of it."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from pydantic import BaseModel, ValidationError, create_model

from rewright.service.backoff import Backoff, retry_after_s
from rewright.service.core import tracing
from rewright.service.core.bounded_read import Answer, AnswerRefused, exchange
from rewright.service.core.request_context import request_id
from rewright.service.errors import DeadlineExceeded, OutOfTime, Overloaded, ScorerOff
from rewright.service.schema import NOT_FINITE, Failed, Group, GroupScores, ScoreRequest
from rewright.service.scorers.remote.generations import NOTHING_SAID, Said
from rewright.service.scorers.remote.replicas import CONNECT_S, Replica

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])

_BUSY = Backoff(first_s=1.0, longest_s=1.0, longest_asked_s=30.0)
"""How long a full replica rests: a second where it does not say."""
_JUST_CLOSED_S = 0.05
_ANOTHER_TIME = frozenset({408, 425})
_AWAY = frozenset({502, 503, 520, 521, 522, 523})
"""What a pod that is ending says, and proxies in front of one that is not there."""
_OF_THE_BODY = frozenset({400, 413, 422})
"""Refusals of what was sent; any other one is of the caller, of the route or of the scorer, whatever is sent."""
_OUT_OF_TIME = frozenset({Overloaded.code, OutOfTime.code, DeadlineExceeded.code})
_ANSWER_BYTES = 1 << 20
_CANDIDATE_BYTES = 1 << 14
"""What an answer may hold beside texts of what was sent: rationales, messages, and numbers, `MOST_SIMILAR` of them
where similarities are asked for."""
_ECHO, _TOKENS_ECHO = 8, 128
"""Bytes of answer for a byte that was sent: answers found in it, escaped; with `tokens`, an object for each."""


class Answered(NamedTuple):
    """One result per group in order, and who gave it. troubled: places of groups in which nothing was scored, for
    trouble that need not be the candidates' own, nor one of time."""

    groups: list[Any]
    said: Said
    troubled: frozenset[int]


class Busy(NamedTuple):
    """The replica's queue is full for about so many seconds."""

    seconds: float


class Refused(NamedTuple):
    """This replica will not answer, however often it is asked. everything: whatever the groups are."""

    reason: str
    everything: bool


class Broken(NamedTuple):
    """It may do better another time. away: it should not be asked for now."""

    reason: str
    away: bool


Outcome = Answered | Busy | Refused | Broken


class Post(Generic[GroupResult]):
    """How bodies and answers of one endpoint are written and read."""

    def __init__(self, name: str, result: type[GroupResult]) -> None:
        self.name = name
        self.path = f"/v1/{name}"
        # Whatever else a newer pod says is none of our business.
        self._answer: Any = create_model("_Answer", groups=(list[result], ...), served_by=(Any, None))  # type: ignore[valid-type]

    def body(self, groups: Sequence[Group], options: Collection[str]) -> bytes:
        # Groups of several requests may share an id, so the place is the id on the way.
        numbered = [group.model_copy(update={"id": str(place)}) for place, group in enumerate(groups)]
        on: dict[str, Any] = dict.fromkeys(options, True)
        request = ScoreRequest.model_construct({"groups", *on}, groups=numbered, **on)
        written: bytes = request.__pydantic_serializer__.to_json(request, exclude_unset=True, exclude_none=True)
        return written

    def answered(self, content: bytes, groups: Sequence[Group]) -> Answered | None:
        """The results under the groups' own ids; None where the answer has another shape."""
        try:
            answer = self._answer.model_validate_json(content)
        except ValidationError:
            return None
        results: list[GroupResult] = answer.groups
        asked = [(str(place), len(group.candidates)) for place, group in enumerate(groups)]
        if asked != [(result.id, len(result.candidates)) for result in results]:
            return None
        # Nearly every answer is without failures, and is not looked through for them.
        troubled = [k for k, result in enumerate(results) if _nothing_scored(result)] if b'"failed"' in content else []
        named = [r.model_copy(update={"id": g.id or ""}) for r, g in zip(results, groups, strict=True)]
        return Answered(named, said_of(answer.served_by, self.name), frozenset(troubled))


def said_of(told: Any, name: str) -> Said:
    """What a pod's `served_by` or `/v1/info` says of that scorer; nothing where it says nothing that can be read."""
    try:
        return Said(dict(told["scorers"][name]), str(told["version"]))
    except (KeyError, TypeError, ValueError):
        return NOTHING_SAID


async def send(
    post: Post[Any], replica: Replica, groups: Sequence[Group], *, options: Collection[str], seconds: float
) -> Outcome:
    """Post the groups, with these options on; all of it takes at most so many seconds. Cancelling closes the
    connection, which drops the work there."""
    headers = {"Content-Type": "application/json", "X-Deadline-Ms": str(max(1, int(seconds * 1000)))}
    if (name := request_id.get()) is not None:
        headers["X-Request-Id"] = name
    body = post.body(groups, options)
    candidates = sum(len(group.candidates) for group in groups)
    echo = _TOKENS_ECHO if "tokens" in options else _ECHO
    most = _ANSWER_BYTES + _CANDIDATE_BYTES * candidates + echo * len(body)
    try:
        with tracing.span(f"remote {post.path}", groups=len(groups)):
            tracing.inject(headers)
            async with asyncio.timeout(seconds), replica.client() as client:
                timeout = httpx.Timeout(None, connect=min(seconds, CONNECT_S))
                request = client.build_request("POST", post.path, content=body, headers=headers, timeout=timeout)
                answer = await _sent(client, request, most)
    except TimeoutError:
        return Broken("did not answer in time", away=False)
    except AnswerRefused as refused:
        return Broken(str(refused), away=False)
    except httpx.HTTPError as trouble:
        return Broken(type(trouble).__name__, away=True)
    if answer.status == httpx.codes.OK:
        return post.answered(answer.content, groups) or Broken("answered in another shape", away=False)
    return refusal(answer)


async def _sent(client: httpx.AsyncClient, request: httpx.Request, most: int) -> Answer:
    """A kept connection may be closed by the other side just as it is used; that is tried once more on a new one."""
    started = time.monotonic()
    try:
        return await exchange(client, request, most=most)
    except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
        if time.monotonic() - started > _JUST_CLOSED_S:
            raise
        return await exchange(client, request, most=most)


def refusal(answer: Answer) -> Busy | Refused | Broken:
    """What an answer means that is not a 200."""
    code = _code(answer.content)
    reason = f"answered {answer.status} {code}".rstrip()
    if answer.status == httpx.codes.TOO_MANY_REQUESTS:
        return Busy(_BUSY.pause(1, asked_s=retry_after_s(answer.headers.get("retry-after"))))
    of_the_service = answer.status >= httpx.codes.INTERNAL_SERVER_ERROR and code != ScorerOff.code
    if of_the_service or answer.status in _ANOTHER_TIME:
        return Broken(reason, away=answer.status in _AWAY)
    return Refused(reason, everything=answer.status not in _OF_THE_BODY)


def _code(content: bytes) -> str:
    try:
        return _Refusal.model_validate_json(content).error.code[:64]
    except ValidationError:
        return ""


class _Error(BaseModel):
    code: str


class _Refusal(BaseModel):
    error: _Error


def _nothing_scored(result: GroupScores[Any]) -> bool:
    failed = [item.error for item in result.candidates if isinstance(item, Failed)]
    return len(failed) == len(result.candidates) and any(
        (error.retryable or error.code == NOT_FINITE) and error.code not in _OUT_OF_TIME for error in failed
    )
