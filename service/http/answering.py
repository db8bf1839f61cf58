"""What every scoring route does with a request: its deadline, its body, its admission, and what its errors become."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Header, Request, Response

from rewright.service import schema
from rewright.service.core import tracing
from rewright.service.core.admission import Admission
from rewright.service.core.logs import exception_location
from rewright.service.core.request_context import due_in, one_answer
from rewright.service.errors import DeadlineExceeded, RewrightError
from rewright.service.http import error_responses
from rewright.service.http.endpoints import REWARD, Endpoint, Endpoints
from rewright.service.http.request_body import body_of, check_needs, drop_body
from rewright.service.http.request_life import CallerGone, body_read_by
from rewright.service.ops.metrics import Metrics
from rewright.service.settings import Settings

log = logging.getLogger(__name__)
CLIENT_CLOSED_REQUEST = 499
ANSWERING_SHARE, ANSWERING_MOST_S = 0.1, 2.0
"""Of a deadline, at its end: scorers stop, so that what was finished can still be told."""
OwnDeadline = Annotated[int | None, Header(gt=0, le=10**12, description="A deadline of the caller's own.")]


@dataclass(frozen=True)
class Answering:
    settings: Settings
    endpoints: Endpoints
    admission: Admission
    metrics: Metrics

    def seconds(self, x_deadline_ms: int | None) -> float:
        """What a request may take: what it asks for, and never more than the service allows."""
        longest = self.settings.longest_s
        return min(longest, x_deadline_ms / 1000) if x_deadline_ms else longest

    @asynccontextmanager
    async def body(self, request: Request, name: str, *, due: float) -> AsyncIterator[bytes]:
        """The raw body, by `due` (monotonic). Raises `RequestError`, and `CallerGone`."""
        # A further scorer that is full must not keep out rewards that do not count it.
        every = self.endpoints.not_scalar if name == REWARD else [name]
        try:
            self.admission.check_open(every, seconds=due - time.monotonic())
        except RewrightError:
            # However slowly the rest of the body comes, the answer is the refusal.
            with suppress(DeadlineExceeded):
                await body_read_by(due, drop_body(request))
            raise
        async with body_of(request, self.admission, self.settings.limits, due) as body:
            yield body

    async def scored(self, endpoint: Endpoint, request: schema.ScoreRequest, seconds: float) -> schema.Answer[Any]:
        """The work of an endpoint, let in and told when it must be done. Raises `RewrightError`."""
        check_needs(request.groups, endpoint.needs(request), endpoint.name)
        names = endpoint.asks(request)
        candidates = sum(len(group.candidates) for group in request.groups)
        with (
            self.admission.admit(names, candidates, seconds=seconds) as ticket,
            due_in(seconds - min(ANSWERING_SHARE * seconds, ANSWERING_MOST_S)),
            one_answer(),
        ):
            return await endpoint.work(request, ticket)

    async def guarded(self, request: Request, name: str, answering: Callable[[], Awaitable[Response]]) -> Response:
        """What `answering` gives. Its `RewrightError` is counted, and anything else becomes one that tells no text."""
        try:
            with tracing.span(f"/v1/{name}", headers=request.headers):
                return await answering()
        except CallerGone:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except RewrightError as refusal:
            self.metrics.note_refusal(name, refusal.code)
            raise
        except Exception as error:
            raise unforeseen_in(name, error) from None


def unforeseen_in(name: str, error: Exception) -> RewrightError:
    """A bug, as it is told; logged by its place, since neither message nor traceback may quote a text."""
    log.error("unforeseen error in /v1/%s: %s", name, exception_location(error))
    return error_responses.unforeseen()


def failures(groups: Sequence[schema.GroupScores[Any]]) -> list[str]:
    """Codes of candidates that failed."""
    return [item.error.code for group in groups for item in group.candidates if item.status == "failed"]
