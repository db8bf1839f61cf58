"""The error tree: what can go wrong with a whole request, and how it reads over HTTP.

    RewrightError
    ├── RequestError            the caller can fix it
    │   ├── Unauthorized        401  unauthorized
    │   ├── NotFound            404  not_found
    │   ├── MethodNotAllowed    405  method_not_allowed
    │   ├── TooLarge            413  too_large
    │   ├── InvalidRequest      422  invalid_request
    │   └── Overloaded          429  overloaded          retryable, with Retry-After
    ├── ServiceError            the service's own trouble
    │   ├── InternalError       500  internal
    │   ├── ScorerOff           503  scorer_off          not retryable: a setting turned the scorer off
    │   ├── ScorerUnavailable   503  scorer_unavailable  retryable
    │   ├── DeadlineExceeded    504  deadline_exceeded   retryable
    │   └── OutOfTime           504  deadline            retryable: what the deadline found unfinished, item by item
    └── SettingsError           the process cannot start; never reaches HTTP

Trouble with one candidate is not an exception but data: see `rewright.service.schema.Failed`.
Nothing here imports more than the standard library, so that clients can share the tree.
"""

from typing import Any, ClassVar


class RewrightError(Exception):
    """Root of the tree. `detail` is machine-readable and holds no text of problems or candidates."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, detail: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail


class RequestError(RewrightError):
    """The caller can fix it."""


class Unauthorized(RequestError):
    code = "unauthorized"
    status = 401


class NotFound(RequestError):
    code = "not_found"
    status = 404


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    status = 405


class TooLarge(RequestError):
    code = "too_large"
    status = 413


class InvalidRequest(RequestError):
    code = "invalid_request"
    status = 422


class Overloaded(RequestError):
    """A queue is full. `retry_after` is in seconds and becomes the Retry-After header."""

    code = "overloaded"
    status = 429
    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0, detail: Any = None) -> None:
        super().__init__(message, detail=detail)
        self.retry_after = retry_after


class ServiceError(RewrightError):
    """The service's own trouble."""


class InternalError(ServiceError):
    code = "internal"
    status = 500


class ScorerOff(ServiceError):
    code = "scorer_off"
    status = 503


class ScorerUnavailable(ServiceError):
    code = "scorer_unavailable"
    status = 503
    retryable = True


class DeadlineExceeded(ServiceError):
    code = "deadline_exceeded"
    status = 504
    retryable = True


class OutOfTime(ServiceError):
    """The request's deadline came before this was scored; other items of the request may be done."""

    code = "deadline"
    status = 504
    retryable = True


class SettingsError(RewrightError):
    code = "settings"
