"""One post of groups to one replica, and what came of it."""

import time
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import httpx
from pydantic import ValidationError, create_model

from rewright.service.backoff import Backoff, retry_after_s
from rewright.service.core import tracing
from rewright.service.core.request_context import request_id
from rewright.service.errors import ScorerOff
from rewright.service.schema import Group, GroupScores, ScoreRequest
from rewright.service.scorers.remote.replicas import CONNECT_S, Replica

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])

_BUSY = Backoff(first_s=1.0, longest_s=1.0, longest_asked_s=30.0)
"""How long a full replica rests: a second where it does not say."""
_JUST_CLOSED_S = 0.05
_TRY_ELSEWHERE = frozenset({408, 500, 502, 503, 504})
_AWAY = frozenset({502, 503})


class Answered(NamedTuple):
    """One result per group in order."""

    groups: list[Any]


class Busy(NamedTuple):
    """The replica's queue is full for about so many seconds."""

    seconds: float


class Rejected(NamedTuple):
    """No replica would answer otherwise: the request or a setting is wrong."""

    reason: str
    too_large: bool


class Broken(NamedTuple):
    """Another replica may do better. away: this one should not be asked for now."""

    reason: str
    away: bool


Outcome = Answered | Busy | Rejected | Broken


class Post(Generic[GroupResult]):
    """How bodies and answers of one endpoint are written and read."""

    def __init__(self, name: str, result: type[GroupResult]) -> None:
        self.path = f"/v1/{name}"
        # Whatever else a newer pod says is none of our business.
        self._answer: Any = create_model("_Answer", groups=(list[result], ...))  # type: ignore[valid-type]

    def body(self, groups: Sequence[Group], *, tokens: bool) -> bytes:
        # Groups of several requests may share an id, so the place is the id on the way.
        numbered = [group.model_copy(update={"id": str(place)}) for place, group in enumerate(groups)]
        request = ScoreRequest.model_construct({"groups", "tokens"}, groups=numbered, tokens=tokens)
        written: bytes = request.__pydantic_serializer__.to_json(request, exclude_unset=True, exclude_none=True)
        return written

    def results(self, content: bytes, groups: Sequence[Group]) -> list[GroupResult] | None:
        """The results under the groups' own ids; None where the answer has another shape."""
        try:
            results: list[GroupResult] = self._answer.model_validate_json(content).groups
        except ValidationError:
            return None
        asked = [(str(place), len(group.candidates)) for place, group in enumerate(groups)]
        if asked != [(result.id, len(result.candidates)) for result in results]:
            return None
        return [r.model_copy(update={"id": g.id or ""}) for r, g in zip(results, groups, strict=True)]


async def send(post: Post[Any], replica: Replica, groups: Sequence[Group], *, tokens: bool, seconds: float) -> Outcome:
    """Post the groups. Cancelling closes the connection, which drops the work there."""
    headers = {"Content-Type": "application/json", "X-Deadline-Ms": str(max(1, int(seconds * 1000)))}
    if (name := request_id.get()) is not None:
        headers["X-Request-Id"] = name
    try:
        with tracing.span(f"remote {post.path}", groups=len(groups)):
            tracing.inject(headers)
            async with replica.client() as client:
                request = client.build_request(
                    "POST",
                    post.path,
                    content=post.body(groups, tokens=tokens),
                    headers=headers,
                    timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_S)),
                )
                response = await _sent(client, request)
    except httpx.ReadTimeout:
        return Broken("did not answer in time", away=False)
    except httpx.HTTPError as trouble:
        return Broken(type(trouble).__name__, away=True)
    if response.status_code == httpx.codes.OK:
        results = post.results(response.content, groups)
        return Answered(results) if results is not None else Broken("answered in another shape", away=False)
    return _refusal(response)


async def _sent(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
    """A kept connection may be closed by the other side just as it is used; that is tried once more on a new one."""
    started = time.monotonic()
    try:
        return await client.send(request)
    except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError):
        if time.monotonic() - started > _JUST_CLOSED_S:
            raise
        return await client.send(request)


def _refusal(response: httpx.Response) -> Outcome:
    status = response.status_code
    code = _code(response)
    reason = f"answered {status} {code}".rstrip()
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Busy(_BUSY.pause(1, asked_s=retry_after_s(response.headers.get("retry-after"))))
    if status in _TRY_ELSEWHERE and code != ScorerOff.code:
        return Broken(reason, away=status in _AWAY)
    return Rejected(reason, too_large=status == httpx.codes.REQUEST_ENTITY_TOO_LARGE)


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""
