"""HTTP → errors: an answer that is not a 200 as an exception of `rewright.service.errors`' tree, and what may be
tried again.

An error body of ours says itself whether it may pass. Without one a proxy spoke: an ingress whose pod restarts says
502, a load balancer 408, 520 or 524. All of that passes.
"""

from collections.abc import Iterator
from enum import Enum

import httpx
from pydantic import ValidationError

from rewright.service.backoff import retry_after_s
from rewright.service.errors import InternalError, InvalidRequest, Overloaded, RewrightError, TooLarge
from rewright.service.schema import ErrorAnswer, ErrorBody

PROXIES_PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that pass with time when a proxy says them."""
PROXIES_FINAL = frozenset({501, 505, 511})
"""Statuses from 500 on that do not: a method or version it lacks, a network that wants a login."""
ABOUT_THE_REQUEST = frozenset({InvalidRequest.code, TooLarge.code})
"""Codes of ours that every address would answer alike."""


class Chance(Enum):
    """Whether the same request may be answered when it is sent again."""

    PASSES = "passes"
    FEW_TRIES = "few tries"
    """An error that calls itself final and may yet be one replica's, or this moment's."""
    ELSEWHERE = "elsewhere"
    """Refused here for good; another address of the same service may know the key, the route or the scorer."""
    FINAL = "final"
    """It is about the request itself."""


def error_of(response: httpx.Response, shown: str) -> RewrightError:
    """The exception that this answer stands for; `shown` names the server in its message."""
    body = _body(response)
    if body is None:
        kind = _by("status", response.status_code) or InternalError
        message = f"answered {response.status_code} without an error body of this service; is the address right?"
        return _made(kind, f"{shown}: {message}", response, None)
    kind = _by("code", body.code) or _by("status", response.status_code) or InternalError
    return _made(kind, f"{shown}: {body.message}", response, body)


def chance_of(response: httpx.Response) -> Chance:
    """For an answer that is not a 200."""
    body, status = _body(response), response.status_code
    if body is not None:
        if body.retryable:
            return Chance.PASSES
        if body.code in ABOUT_THE_REQUEST:
            return Chance.FINAL
        return Chance.FEW_TRIES if status == httpx.codes.INTERNAL_SERVER_ERROR else Chance.ELSEWHERE
    passes = status in PROXIES_PASSING or (status >= 500 and status not in PROXIES_FINAL)
    return Chance.PASSES if passes else Chance.ELSEWHERE


def _body(response: httpx.Response) -> ErrorBody | None:
    try:
        return ErrorAnswer.model_validate_json(response.content).error
    except ValidationError:
        return None


def _made(kind: type[RewrightError], message: str, response: httpx.Response, body: ErrorBody | None) -> RewrightError:
    detail = body.detail if body is not None else None
    if issubclass(kind, Overloaded):
        return kind(message, retry_after=retry_after_s(response.headers.get("retry-after")), detail=detail)
    return kind(message, detail=detail)


def _by(attribute: str, value: object) -> type[RewrightError] | None:
    # The leaves alone are codes of their own; the inner nodes of the tree inherit the root's.
    return next((kind for kind in _leaves(RewrightError) if getattr(kind, attribute) == value), None)


def _leaves(kind: type[RewrightError]) -> Iterator[type[RewrightError]]:
    below = [k for k in kind.__subclasses__() if k.__module__ == RewrightError.__module__]
    if not below:
        yield kind
    for k in below:
        yield from _leaves(k)


SERVICES_OWN = frozenset(kind.code for kind in _leaves(RewrightError))
"""Codes of the tree. A candidate that failed with one tells of the service's state, never of its own text."""
