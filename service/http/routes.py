"""The scoring endpoints, one per scorer and one for the reward: who is let in, who is asked, and the answer.

body → admission → parse → reward_groups or one scorer → answer. Computes nothing itself.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from rewright.service import schema
from rewright.service.errors import DeadlineExceeded, OutOfTime
from rewright.service.http import error_responses
from rewright.service.http.answering import Answering, OwnDeadline, failures
from rewright.service.http.described_bodies import described_body
from rewright.service.http.endpoints import Endpoint
from rewright.service.http.request_body import parse
from rewright.service.http.request_life import while_caller_waits

log = logging.getLogger(__name__)


def _tell_of_unfinished(groups: Sequence[schema.GroupScores[Any]], seconds: float, request: Request) -> None:
    """A line for whoever wonders why a trainer sees failures: what the deadline cut off, and how to allow more."""
    if unfinished := failures(groups).count(OutOfTime.code):
        log.warning(
            "%d of %d candidates were unfinished at the deadline of %g s of %s (%s): it should send fewer groups per "
            "request, or allow more by X-Deadline-Ms, up to the setting deadline_s",
            unfinished,
            sum(len(group.candidates) for group in groups),
            seconds,
            request.client.host if request.client is not None else "a caller",
            request.headers.get("user-agent", "no user agent")[:100],
        )


def scoring_routes(answering: Answering, authorised: Callable[..., Awaitable[None]]) -> APIRouter:
    """POST /v1/{scorer} for every registered scorer, and /v1/reward."""
    router = APIRouter(prefix="/v1", tags=["scoring"], dependencies=[Depends(authorised)])

    def add(endpoint: Endpoint) -> None:
        name = endpoint.name

        async def answer(request: Request, seconds: float) -> Response:
            due = time.monotonic() + seconds
            async with answering.body(request, name, due=due) as body:
                score_request = await parse(body, answering.settings.limits)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(f"the body took longer than the {seconds:g} s allowed")
                result = await while_caller_waits(request, answering.scored(endpoint, score_request, left), left)
            answering.metrics.note_groups(name, result.groups)
            _tell_of_unfinished(result.groups, seconds, request)
            return Response(result.__pydantic_serializer__.to_json(result), media_type="application/json")

        async def route(request: Request, x_deadline_ms: OwnDeadline = None) -> Response:
            return await answering.guarded(request, name, partial(answer, request, answering.seconds(x_deadline_ms)))

        router.add_api_route(
            f"/{name}",
            route,
            methods=["POST"],
            name=name,
            operation_id=name,
            summary=endpoint.summary,
            response_model=endpoint.answer,
            responses=error_responses.SCORING_ERRORS,
            openapi_extra=described_body("ScoreRequest"),
        )

    for endpoint in answering.endpoints.all():
        add(endpoint)
    return router
