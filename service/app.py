"""The FastAPI app: routes, who may call, and what each endpoint asks of the scorers. Computes nothing itself.

POST → read_score_request → reward_groups or one scorer → answer. Scorers arrive open; `service.wiring` opens them.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from service import http_errors, schema
from service.errors import RewrightError, ScorerOff, ScorerUnavailable, Unauthorized
from service.group_reward import reward_groups, wanted_scorers
from service.health import Readiness
from service.request_body import read_score_request
from service.request_life import CallerGone, RequestRecord, before_deadline
from service.scorers.contract import Scorer, Scorers, check_kept
from service.settings import Settings
from service.telemetry import Metrics
from service.wiring import warnings

log = logging.getLogger(__name__)
VERSION = version("rewright")
CLIENT_CLOSED_REQUEST = 499
_REF = "#/components/schemas/{model}"

_SUMMARIES = {
    "verify": "v_ans (eq. 4): is the final answer right?",
    "judge": "v_rea (eq. 4): is the reasoning sound?",
    "nll": "ℓ_dist (eq. 6): length-normalised NLL under π0 given the problem alone",
    "diversity": "r_div and D (eq. 9 to 12)",
    "reward": "The gated reward with every component (eq. 3)",
}


def create_app(settings: Settings, scorers: Scorers) -> FastAPI:
    """The app over open scorers. `settings` must be those that the scorers were built from."""
    app = FastAPI(
        title="Rewright",
        version=VERSION,
        summary="Gated rewards for rewriting agents (arXiv 2602.11220).",
        description="One body serves the five scoring endpoints; each answers the same groups in the same order.",
    )
    metrics = Metrics(scorers)
    http_errors.install(app)
    app.include_router(_scoring(settings, scorers, metrics))
    app.include_router(_operations(settings, scorers, metrics))
    app.add_middleware(RequestRecord, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


# --- scoring ----------------------------------------------------------------------------------------------------------

Work = Callable[[schema.ScoreRequest], Awaitable[schema.Answer[Any]]]


def _scoring(settings: Settings, scorers: Scorers, metrics: Metrics) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["scoring"], dependencies=[Depends(_caller_of(settings.api_keys))])

    def served_by(names: Sequence[str] | frozenset[str], rule: schema.Rule | None = None) -> schema.ServedBy:
        used = {s.name: s.describe() for s in scorers if s.name in names}
        return schema.ServedBy(version=VERSION, rule=rule, scorers=used)

    def add(endpoint: str, answer: type[schema.Answer[Any]], work: Work) -> None:
        async def answered(request: Request) -> schema.Answer[Any]:
            return await work(await read_score_request(request, endpoint, settings.limits))

        async def route(
            request: Request,
            x_deadline_ms: Annotated[int | None, Header(gt=0, description="A deadline of the caller's own.")] = None,
        ) -> Response:
            seconds = min(settings.deadline_s, x_deadline_ms / 1000 if x_deadline_ms else settings.deadline_s)
            try:
                result = await before_deadline(request, answered(request), seconds)
            except CallerGone:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except RewrightError:
                raise
            except Exception:
                log.exception("unforeseen error in /v1/%s", endpoint)
                raise http_errors.unforeseen() from None
            metrics.note_groups(endpoint, result.groups)
            return Response(result.model_dump_json(), media_type="application/json")

        router.add_api_route(
            f"/{endpoint}",
            route,
            methods=["POST"],
            name=endpoint,
            summary=_SUMMARIES[endpoint],
            response_model=answer,
            responses=http_errors.SCORING_ERRORS,
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": _REF.format(model="ScoreRequest")}}},
                }
            },
        )

    async def one(
        scorer: Scorer[Any] | None, name: str, request: schema.ScoreRequest, **options: bool
    ) -> tuple[Sequence[Any], schema.ServedBy]:
        if scorer is None:
            raise ScorerOff(f"/v1/{name} is off here; set REWRIGHT_SCORERS__{name.upper()}__WHERE to local or remote")
        groups = await scorer.score(request.groups, **options)
        check_kept(name, request.groups, groups)
        return groups, served_by([name])

    async def verify(request: schema.ScoreRequest) -> schema.VerifyAnswer:
        groups, by = await one(scorers.verify, "verify", request)
        return schema.VerifyAnswer(groups=list(groups), served_by=by)

    async def judge(request: schema.ScoreRequest) -> schema.JudgeAnswer:
        groups, by = await one(scorers.judge, "judge", request)
        return schema.JudgeAnswer(groups=list(groups), served_by=by)

    async def nll(request: schema.ScoreRequest) -> schema.NllAnswer:
        groups, by = await one(scorers.nll, "nll", request, tokens=request.tokens)
        return schema.NllAnswer(groups=list(groups), served_by=by)

    async def diversity(request: schema.ScoreRequest) -> schema.DiversityAnswer:
        groups, by = await one(scorers.diversity, "diversity", request)
        return schema.DiversityAnswer(groups=list(groups), served_by=by)

    async def reward(request: schema.ScoreRequest) -> schema.RewardAnswer:
        groups = await reward_groups(request.groups, request.rule, scorers)
        return schema.RewardAnswer(groups=groups, served_by=served_by(wanted_scorers(request.rule), request.rule))

    add("verify", schema.VerifyAnswer, verify)
    add("judge", schema.JudgeAnswer, judge)
    add("nll", schema.NllAnswer, nll)
    add("diversity", schema.DiversityAnswer, diversity)
    add("reward", schema.RewardAnswer, reward)
    return router


# --- operations -------------------------------------------------------------------------------------------------------


def _operations(settings: Settings, scorers: Scorers, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operations"])
    readiness = Readiness(scorers, probe_after_s=settings.probe_after_s)

    @router.get(
        "/v1/info",
        summary="Resolved, secret-free configuration and models",
        dependencies=[Depends(_caller_of(settings.api_keys))],
        responses=http_errors.documented(Unauthorized),
    )
    async def info() -> dict[str, Any]:
        shown = settings.model_dump(mode="json", exclude={"api_keys"})
        return {
            "version": VERSION,
            "scorers": {s.name: s.describe() for s in scorers},
            "warnings": warnings(scorers),
            "settings": shown | {"api_keys": len(settings.api_keys)},
        }

    @router.get("/healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz",
        summary="Every local scorer did real work, or a micro-score, lately",
        responses=http_errors.documented(ScorerUnavailable),
    )
    async def readyz() -> dict[str, str]:
        if troubles := await readiness.troubles():
            listed = "; ".join(f"{name}: {why}" for name, why in troubles.items())
            raise ScorerUnavailable(f"not ready: {listed}", detail=troubles)
        return {"status": "ready"}

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def prometheus() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _caller_of(api_keys: frozenset[SecretStr]) -> Callable[..., None]:
    keys = [key.get_secret_value().encode() for key in api_keys]
    bearer = HTTPBearer(auto_error=False, description="A key of REWRIGHT_API_KEYS; not needed where none is set.")

    def authorised(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if not keys:
            return
        offered = given.credentials.encode() if given is not None else b""
        # Every key is compared, in constant time, so that timing tells neither which nor how much of one fits.
        if sum(hmac.compare_digest(offered, key) for key in keys) == 0:
            raise Unauthorized("send a valid key as 'Authorization: Bearer <key>'")

    return authorised


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description plus the request model, which the scoring routes parse from raw bytes themselves."""
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        request = schema.ScoreRequest.model_json_schema(ref_template=_REF)
        components = described["components"]["schemas"]
        components |= request.pop("$defs") | {"ScoreRequest": request}
        app.openapi_schema = described
    return app.openapi_schema
