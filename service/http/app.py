"""The FastAPI app: its parts put together, and what is told beside the scores.

Scoring itself is in `rewright.service.http.routes`. Scorers arrive open; `rewright.service.wiring` opens them.
"""

import time
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from fastapi.openapi.utils import get_openapi

from rewright.service import schema
from rewright.service.core.admission import Admission
from rewright.service.core.redaction import redacted
from rewright.service.errors import InvalidRequest, ScorerUnavailable, Unauthorized
from rewright.service.http import error_responses
from rewright.service.http.answering import Answering
from rewright.service.http.auth import Keys, caller_with
from rewright.service.http.described_bodies import reference_to
from rewright.service.http.endpoints import Endpoints
from rewright.service.http.member_routes import lobby_of, member_routes, rule_of, sample_schema
from rewright.service.http.request_life import RequestRecord
from rewright.service.http.routes import scoring_routes
from rewright.service.http.ui import ui_routes
from rewright.service.ops.metrics import Metrics
from rewright.service.ops.readiness import Readiness
from rewright.service.rendezvous.agreement import Store
from rewright.service.schema.flat import FlatRequest
from rewright.service.schema.member import Member
from rewright.service.scorers.base import Scorers, troubles_elsewhere, warnings
from rewright.service.settings import Settings

VERSION = version("rewright")


def create_app(settings: Settings, scorers: Scorers, store: Store | None = None) -> FastAPI:
    """The app over open scorers. `settings` must be those that the scorers were built from.

    store: what gateways share, if anything. `app.state.admission` is the door; whoever ends the process closes it first
    (`rewright.service.__main__`). Raises `SettingsError` where the file of keys cannot be read.
    """
    app = FastAPI(
        # Its own telemetry would record exceptions with their messages, which may quote a text; ours is core.tracing.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        title="Rewright",
        version=VERSION,
        summary="Gated rewards for rewriting agents (arXiv 2602.11220).",
        description="One body serves all scoring endpoints; each answers the same groups in the same order.",
    )
    bounds = {scorer.name: settings.block(scorer.name).waiting for scorer in scorers}
    admission = Admission(bounds, waiting_bytes=settings.limits.waiting_mb << 20)
    metrics = Metrics(scorers, admission)
    keys = Keys(settings.api_keys, settings.api_keys_file)
    app.state.admission = admission
    error_responses.install(app)
    endpoints = Endpoints(settings.specs, scorers, metrics, overlap=settings.overlaps)
    answering = Answering(settings, endpoints, admission, metrics)
    lobby = lobby_of(answering, store)
    metrics.show_lobby(lobby)
    app.include_router(scoring_routes(answering, caller_with(keys)))
    app.include_router(member_routes(answering, lobby, caller_with(keys)))
    app.include_router(_operations(answering, scorers, keys))
    if settings.ui:
        app.include_router(ui_routes())
    app.add_middleware(RequestRecord, metrics=metrics, born=time.monotonic())
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _operations(answering: Answering, scorers: Scorers, keys: Keys) -> APIRouter:
    router = APIRouter(tags=["operations"])
    settings, admission, metrics = answering.settings, answering.admission, answering.metrics
    readiness = Readiness(scorers, probe_after_s=settings.probe_after_s)

    @router.get(
        "/v1/info",
        operation_id="info",
        summary="Resolved, secret-free configuration and models",
        dependencies=[Depends(caller_with(keys))],
        responses=error_responses.documented(Unauthorized, InvalidRequest),
    )
    async def info(
        rule: Annotated[str | None, Query(description="What `sample_schema` is told for: a rule, as JSON.")] = None,
    ) -> dict[str, Any]:
        shown = settings.model_dump(mode="json", exclude={"api_keys"})
        return {
            "version": VERSION,
            "scorers": {s.name: redacted(s.describe()) for s in scorers},
            "warnings": warnings(scorers),
            "troubles": troubles_elsewhere(scorers),
            "sample_schema": sample_schema(answering, rule_of(rule)),
            "settings": redacted(shown) | {"api_keys": len(keys.now())},
        }

    @router.get("/healthz", operation_id="healthz", summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @router.get(
        "/readyz",
        operation_id="readyz",
        summary="Every local scorer did real work, or a micro-score, lately",
        responses=error_responses.documented(ScorerUnavailable),
    )
    async def readyz() -> dict[str, Any]:
        if admission.closing:
            raise ScorerUnavailable("not ready: this process is shutting down")
        if troubles := await readiness.troubles():
            listed = "; ".join(f"{name}: {why}" for name, why in troubles.items())
            raise ScorerUnavailable(f"not ready: {listed}", detail=troubles)
        # Trouble of other processes is theirs: it is told, and this one stays.
        elsewhere = troubles_elsewhere(scorers)
        return {"status": "ready"} | ({"elsewhere": elsewhere} if elsewhere else {})

    @router.get("/metrics", operation_id="metrics", summary="Prometheus metrics", response_class=Response)
    async def prometheus() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description plus the request models, which the scoring routes parse from raw bytes themselves."""
    if app.openapi_schema is None:
        described = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        components = described["components"]["schemas"]
        for model in (schema.ScoreRequest, Member, FlatRequest):
            request = model.model_json_schema(ref_template=reference_to("{model}"))
            components |= request.pop("$defs", {}) | {model.__name__: request}
        app.openapi_schema = described
    return app.openapi_schema
