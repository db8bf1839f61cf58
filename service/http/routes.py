"""The scoring endpoints, one per scorer and one for the reward: who is let in, who is asked, and the answer.

body → admission → parse → reward_groups or one scorer → answer. Computes nothing itself.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Depends, Header, Request, Response

from rewright.service import schema
from rewright.service.core import tracing
from rewright.service.core.admission import Admission, Ticket
from rewright.service.core.logs import exception_location
from rewright.service.core.redaction import redacted
from rewright.service.core.request_context import due_in, one_answer
from rewright.service.errors import DeadlineExceeded, InvalidRequest, OutOfTime, RewrightError, ScorerOff
from rewright.service.http import error_responses
from rewright.service.http.request_body import body_of, check_needs, drop_body, parse
from rewright.service.http.request_life import CallerGone, body_read_by, while_caller_waits
from rewright.service.mathematics.reasoning.certain_faults import CHECKS
from rewright.service.ops.metrics import Metrics
from rewright.service.reward.pipeline import reward_groups, wanted_scorers
from rewright.service.scorers.base import Scorers, check_contract
from rewright.service.scorers.spec import ScorerSpec
from rewright.service.settings import Settings

log = logging.getLogger(__name__)
VERSION = version("rewright")
CLIENT_CLOSED_REQUEST = 499
ANSWERING_SHARE, ANSWERING_MOST_S = 0.1, 2.0
"""Of a deadline, at its end: scorers stop, so that what was finished can still be told."""
REQUEST_REF = "#/components/schemas/ScoreRequest"

REWARD = "reward"

Work = Callable[[schema.ScoreRequest, Ticket], Coroutine[Any, Any, schema.Answer[Any]]]


class _Endpoint(NamedTuple):
    """asks: names of the scorers that a request is answered with. needs: what a group must then hold."""

    name: str
    summary: str
    answer: type[schema.Answer[Any]]
    asks: Callable[[schema.ScoreRequest], Collection[str]]
    needs: Callable[[schema.ScoreRequest], Collection[str]]
    work: Work


class _Endpoints:
    """What each endpoint asks of the scorers."""

    def __init__(self, specs: Sequence[ScorerSpec], scorers: Scorers, metrics: Metrics, *, overlap: bool) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._scorers = scorers
        self._metrics = metrics
        self._overlap = overlap

    def all(self) -> Iterator[_Endpoint]:
        for spec in self._specs.values():
            yield _Endpoint(
                spec.name,
                spec.summary,
                spec.answer,
                asks=partial(_always, [spec.name]),
                needs=partial(_always, spec.needs),
                work=partial(self.scores, spec),
            )
        yield _Endpoint(
            REWARD,
            "The gated reward with every component (eq. 3)",
            schema.RewardAnswer,
            asks=lambda request: wanted_scorers(request.rule),
            needs=self._needs_of_reward,
            work=self.reward,
        )

    async def scores(self, spec: ScorerSpec, request: schema.ScoreRequest, _: Ticket) -> schema.Answer[Any]:
        scorer: Any = self._scorers.get(spec.name)
        if scorer is None:
            setting = f"REWRIGHT_SCORERS__{spec.name.upper()}__WHERE"
            raise ScorerOff(f"/v1/{spec.name} is off here; set {setting} to local or remote")
        results = await scorer.score(request.groups, **{option: getattr(request, option) for option in spec.options})
        groups = check_contract(spec.name, request.groups, results, checked=spec.name in self._scorers.checked)
        self._metrics.note_scores(spec.name, groups)
        return spec.answer.model_construct(groups=groups, served_by=self._served_by([spec.name]))

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

    def _needs_of_reward(self, request: schema.ScoreRequest) -> Collection[str]:
        """Raises `InvalidRequest` where the rule weighs what is no scorer of one number per candidate."""
        scalars = sorted(name for name, spec in self._specs.items() if spec.scalar)
        if unknown := sorted(set(request.rule.weights) - set(scalars)):
            known = ", ".join(scalars) or "none here"
            raise InvalidRequest(
                f"rule.weights.{unknown[0]}: no scorer of one number per candidate has this name; there are: {known}"
            )
        wanted = wanted_scorers(request.rule)
        checks = ("problem", "reference") if request.rule.reasoning == "checks" else ()
        needs = (need for name, spec in self._specs.items() if name in wanted for need in spec.needs)
        return dict.fromkeys([*checks, *needs])

    def _served_by(self, names: Iterable[str], rule: schema.Rule | None = None) -> schema.ServedBy:
        used = {s.name: redacted(s.describe()) for s in self._scorers if s.name in names}
        if rule is not None and rule.reasoning == "checks":
            used["checks"] = {"checks": CHECKS}
        return schema.ServedBy(version=VERSION, wire=schema.WIRE, rule=rule, scorers=used)


def _tell_of_unfinished(groups: Sequence[schema.GroupScores[Any]], seconds: float, request: Request) -> None:
    """A line for whoever wonders why a trainer sees failures: what the deadline cut off, and how to allow more."""
    outcomes = [item.status == "failed" and item.error.code == OutOfTime.code for g in groups for item in g.candidates]
    if unfinished := sum(outcomes):
        log.warning(
            "%d of %d candidates were unfinished at the deadline of %g s of %s (%s): it should send fewer groups per "
            "request, or allow more by X-Deadline-Ms, up to the setting deadline_s",
            unfinished,
            len(outcomes),
            seconds,
            request.client.host if request.client is not None else "a caller",
            request.headers.get("user-agent", "no user agent")[:100],
        )


def _always(names: Collection[str], _: schema.ScoreRequest) -> Collection[str]:
    return names


def scoring_routes(
    settings: Settings,
    scorers: Scorers,
    admission: Admission,
    metrics: Metrics,
    authorised: Callable[..., Awaitable[None]],
) -> APIRouter:
    """POST /v1/{scorer} for every registered scorer, and /v1/reward."""
    router = APIRouter(prefix="/v1", tags=["scoring"], dependencies=[Depends(authorised)])

    def add(endpoint: _Endpoint) -> None:
        name = endpoint.name
        # A further scorer that is full must not keep out rewards that do not count it.
        scalars = {spec.name for spec in settings.specs if spec.scalar}
        every = [s.name for s in scorers if s.name not in scalars] if name == REWARD else [name]

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
                score_request = await parse(body, settings.limits)
                check_needs(score_request.groups, endpoint.needs(score_request), name)
                names = endpoint.asks(score_request)
                candidates = sum(len(group.candidates) for group in score_request.groups)
                left = due - time.monotonic()
                if left <= 0:
                    raise DeadlineExceeded(f"the body took longer than the {seconds:g} s allowed")
                with (
                    admission.admit(names, candidates, seconds=left) as ticket,
                    due_in(left - min(ANSWERING_SHARE * left, ANSWERING_MOST_S)),
                    one_answer(),
                ):
                    return await while_caller_waits(request, endpoint.work(score_request, ticket), left)

        async def route(
            request: Request,
            x_deadline_ms: Annotated[
                int | None, Header(gt=0, le=10**12, description="A deadline of the caller's own.")
            ] = None,
        ) -> Response:
            seconds = min(settings.longest_s, x_deadline_ms / 1000 if x_deadline_ms else settings.longest_s)
            try:
                with tracing.span(f"/v1/{name}", headers=request.headers):
                    result = await answered(request, seconds)
            except CallerGone:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except RewrightError as refusal:
                metrics.note_refusal(name, refusal.code)
                raise
            except Exception as error:
                # Neither message nor traceback: both may quote a text.
                log.error("unforeseen error in /v1/%s: %s", name, exception_location(error))
                raise error_responses.unforeseen() from None
            metrics.note_groups(name, result.groups)
            _tell_of_unfinished(result.groups, seconds, request)
            return Response(result.__pydantic_serializer__.to_json(result), media_type="application/json")

        router.add_api_route(
            f"/{name}",
            route,
            methods=["POST"],
            name=name,
            summary=endpoint.summary,
            response_model=endpoint.answer,
            responses=error_responses.SCORING_ERRORS,
            openapi_extra={
                "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": REQUEST_REF}}}}
            },
        )

    for endpoint in _Endpoints(settings.specs, scorers, metrics, overlap=settings.overlaps).all():
        add(endpoint)
    return router
