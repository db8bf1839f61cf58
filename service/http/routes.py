"""The five scoring endpoints: who is let in, what each asks of the scorers, and the answer.

body → admission → parse → reward_groups or one scorer → answer. Computes nothing itself.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response

from rewright.service import schema
from rewright.service.core import tracing
from rewright.service.core.admission import Admission, Ticket
from rewright.service.core.logs import exception_location
from rewright.service.core.request_context import due_in
from rewright.service.errors import DeadlineExceeded, RewrightError, ScorerOff
from rewright.service.http import error_responses
from rewright.service.http.request_body import body_of, drop_body, parse
from rewright.service.http.request_life import CallerGone, body_read_by, while_caller_waits
from rewright.service.ops.metrics import Metrics
from rewright.service.reward.pipeline import reward_groups, wanted_scorers
from rewright.service.scorers.base import Scorer, Scorers, check_contract
from rewright.service.settings import Settings

log = logging.getLogger(__name__)
VERSION = version("rewright")
CLIENT_CLOSED_REQUEST = 499
REQUEST_REF = "#/components/schemas/ScoreRequest"

_SUMMARIES = {
    "verify": "v_ans (eq. 4): is the final answer right?",
    "judge": "v_rea (eq. 4): is the reasoning sound?",
    "nll": "ℓ_dist (eq. 6): length-normalised NLL under π0 given the problem alone",
    "diversity": "r_div and D (eq. 9 to 12)",
    "reward": "The gated reward with every component (eq. 3)",
}

Work = Callable[[schema.ScoreRequest, Ticket], Coroutine[Any, Any, schema.Answer[Any]]]


class _Endpoints:
    """What each endpoint asks of the scorers."""

    def __init__(self, scorers: Scorers, metrics: Metrics, *, overlap: bool) -> None:
        self._scorers = scorers
        self._metrics = metrics
        self._overlap = overlap

    async def verify(self, request: schema.ScoreRequest, _: Ticket) -> schema.VerifyAnswer:
        groups, by = await self._one(self._scorers.verify, "verify", request)
        return schema.VerifyAnswer.model_construct(groups=groups, served_by=by)

    async def judge(self, request: schema.ScoreRequest, _: Ticket) -> schema.JudgeAnswer:
        groups, by = await self._one(self._scorers.judge, "judge", request)
        return schema.JudgeAnswer.model_construct(groups=groups, served_by=by)

    async def nll(self, request: schema.ScoreRequest, _: Ticket) -> schema.NllAnswer:
        groups, by = await self._one(self._scorers.nll, "nll", request, tokens=request.tokens)
        return schema.NllAnswer.model_construct(groups=groups, served_by=by)

    async def diversity(self, request: schema.ScoreRequest, _: Ticket) -> schema.DiversityAnswer:
        groups, by = await self._one(self._scorers.diversity, "diversity", request)
        return schema.DiversityAnswer.model_construct(groups=groups, served_by=by)

    async def reward(self, request: schema.ScoreRequest, ticket: Ticket) -> schema.RewardAnswer:
        groups = await reward_groups(
            request.groups,
            request.rule,
            self._scorers,
            overlap=self._overlap,
            watch=self._metrics,
            on_group=ticket.answered,
        )
        by = self._served_by(wanted_scorers(request.rule), request.rule)
        return schema.RewardAnswer.model_construct(groups=groups, served_by=by)

    async def _one(
        self, scorer: Scorer[Any] | None, name: str, request: schema.ScoreRequest, **options: bool
    ) -> tuple[list[Any], schema.ServedBy]:
        if scorer is None:
            raise ScorerOff(f"/v1/{name} is off here; set REWRIGHT_SCORERS__{name.upper()}__WHERE to local or remote")
        groups = await scorer.score(request.groups, **options)
        check_contract(name, request.groups, groups)
        self._metrics.note_scores(name, groups)
        return list(groups), self._served_by([name])

    def _served_by(self, names: Iterable[str], rule: schema.Rule | None = None) -> schema.ServedBy:
        used = {s.name: s.describe() for s in self._scorers if s.name in names}
        return schema.ServedBy(version=VERSION, rule=rule, scorers=used)


def scoring_routes(
    settings: Settings,
    scorers: Scorers,
    admission: Admission,
    metrics: Metrics,
    authorised: Callable[..., Awaitable[None]],
) -> APIRouter:
    """POST /v1/verify, judge, nll, diversity and reward."""
    router = APIRouter(prefix="/v1", tags=["scoring"], dependencies=[Depends(authorised)])
    endpoints = _Endpoints(scorers, metrics, overlap=settings.overlaps)

    def add(endpoint: str, answer: type[schema.Answer[Any]], work: Work) -> None:
        every = [s.name for s in scorers] if endpoint == "reward" else [endpoint]

        async def answered(request: Request, seconds: float) -> schema.Answer[Any]:
            due = time.monotonic() + seconds
            try:
                admission.check_open(every, seconds=seconds)
            except RewrightError:
                # However slowly the rest of the body comes, the answer is the refusal.
                with suppress(DeadlineExceeded):
                    await body_read_by(due, drop_body(request))
                raise
            async with body_of(request, admission, settings.limits, due) as body:
                score_request = parse(body, endpoint, settings.limits)
                names = wanted_scorers(score_request.rule) if endpoint == "reward" else every
                candidates = sum(len(group.candidates) for group in score_request.groups)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(f"the body took longer than the {seconds:g} s allowed")
                with admission.admit(names, candidates, seconds=left) as ticket, due_in(left):
                    return await while_caller_waits(request, work(score_request, ticket), left)

        async def route(
            request: Request,
            x_deadline_ms: Annotated[
                int | None, Header(gt=0, le=10**12, description="A deadline of the caller's own.")
            ] = None,
        ) -> Response:
            seconds = min(settings.longest_s, x_deadline_ms / 1000 if x_deadline_ms else settings.longest_s)
            try:
                with tracing.span(f"/v1/{endpoint}", headers=request.headers):
                    result = await answered(request, seconds)
            except CallerGone:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except RewrightError as refusal:
                metrics.note_refusal(endpoint, refusal.code)
                raise
            except Exception as error:
                # Neither message nor traceback: both may quote a text.
                log.error("unforeseen error in /v1/%s: %s", endpoint, exception_location(error))
                raise error_responses.unforeseen() from None
            metrics.note_groups(endpoint, result.groups)
            return Response(result.__pydantic_serializer__.to_json(result), media_type="application/json")

        router.add_api_route(
            f"/{endpoint}",
            route,
            methods=["POST"],
            name=endpoint,
            summary=_SUMMARIES[endpoint],
            response_model=answer,
            responses=error_responses.SCORING_ERRORS,
            openapi_extra={
                "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": REQUEST_REF}}}}
            },
        )

    add("verify", schema.VerifyAnswer, endpoints.verify)
    add("judge", schema.JudgeAnswer, endpoints.judge)
    add("nll", schema.NllAnswer, endpoints.nll)
    add("diversity", schema.DiversityAnswer, endpoints.diversity)
    add("reward", schema.RewardAnswer, endpoints.reward)
    return router
