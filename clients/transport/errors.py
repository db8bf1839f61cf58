"""HTTP → errors: an answer that is not a 200 as an exception of `rewright.service.errors`' tree, and what may be
tried again.
"""

from collections.abc import Iterator

import httpx
from pydantic import ValidationError

from rewright.service.backoff import retry_after_s
from rewright.service.errors import InternalError, Overloaded, RewrightError
from rewright.service.schema import ErrorAnswer, ErrorBody

TRIED_AGAIN = frozenset({429, 503, 504})
"""Statuses that may pass with time; all others are final, a 500 too."""


def error_of(response: httpx.Response, shown: str) -> RewrightError:
    """The exception that this answer stands for; `shown` names the server in its message."""
    body = _body(response)
    if body is None:
        kind = _by("status", response.status_code) or InternalError
        message = f"answered {response.status_code} without an error body of this service; is the address right?"
        return _made(kind, f"{shown}: {message}", response, None)
    kind = _by("code", body.code) or _by("status", response.status_code) or InternalError
    return _made(kind, f"{shown}: {body.message}", response, body)


def may_try_again(response: httpx.Response) -> bool:
    """Whether the same request may be answered later: one of `TRIED_AGAIN` whose body does not say otherwise."""
    body = _body(response)
    return response.status_code in TRIED_AGAIN and (body is None or body.retryable)


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
