"""Errors → HTTP, in one place: every answer that is not a 200 is an `ErrorAnswer` with the error's own status."""

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from rewright.service.core.logs import exception_location
from rewright.service.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RequestError,
    RewrightError,
    ScorerOff,
    ScorerUnavailable,
    TooLarge,
    Unauthorized,
)
from rewright.service.schema import ErrorAnswer, ErrorBody

log = logging.getLogger(__name__)


def documented(*errors: type[RewrightError]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses of those errors; errors that share a status share its entry."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        entry = by_status.setdefault(error.status, {"model": ErrorAnswer, "description": ""})
        entry["description"] = f"{entry['description']} · `{error.code}`".removeprefix(" · ")
    return by_status


SCORING_ERRORS = documented(
    Unauthorized, TooLarge, InvalidRequest, Overloaded, InternalError, ScorerOff, ScorerUnavailable, DeadlineExceeded
)


def error_response(error: RewrightError) -> JSONResponse:
    """The error as HTTP, with the headers that its status calls for."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    body = ErrorBody(code=error.code, message=error.message, retryable=error.retryable, detail=error.detail)
    return JSONResponse(ErrorAnswer(error=body).model_dump(), status_code=error.status, headers=headers)


def unforeseen() -> InternalError:
    """What the caller is told of a bug; the log holds the rest."""
    return InternalError("the service failed; its log has the reason under this request's X-Request-Id")


def install(app: FastAPI) -> None:
    """Answer every exception of the app with an error body."""

    @app.exception_handler(RewrightError)
    async def ours(_: Request, error: RewrightError) -> JSONResponse:
        if not isinstance(error, RequestError):
            log.warning("%s: %s", error.code, error.message)
        return error_response(error)

    @app.exception_handler(RequestValidationError)
    async def parameters(_: Request, error: RequestValidationError) -> JSONResponse:
        places = [{"place": ".".join(str(part) for part in e["loc"]), "message": str(e["msg"])} for e in error.errors()]
        return error_response(InvalidRequest(f"{places[0]['place']}: {places[0]['message']}", detail=places))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == NotFound.status:
            return error_response(NotFound(f"no such path: {request.url.path}; /docs lists them all"))
        if error.status_code == MethodNotAllowed.status:
            answer = error_response(MethodNotAllowed(f"{request.url.path} does not take {request.method}"))
            answer.headers.update(error.headers or {})
            return answer
        return error_response(InvalidRequest(str(error.detail)))

    @app.exception_handler(Exception)
    async def other(_: Request, error: Exception) -> JSONResponse:
        log.error("unforeseen error: %s", exception_location(error))
        return error_response(unforeseen())
