"""What travels with a request through every task that works for it: its id, the moment by which it must be done, and
what those who work for it remember of it until it is answered.

The id names the caller wherever work waits (fair shares), stands in every log line, and goes on to other pods. Nothing
here knows HTTP. Outside a request all are None.
"""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_remembered: ContextVar[dict[str, Any] | None] = ContextVar("remembered", default=None)
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def adopt_request_id(given: str | None) -> str:
    """The caller's X-Request-Id where it is harmless in a log, else a new one; noted for this context."""
    chosen = given if given is not None and _ACCEPTABLE_ID.fullmatch(given) else uuid.uuid4().hex
    request_id.set(chosen)
    return chosen


@contextmanager
def due_in(seconds: float) -> Iterator[None]:
    """Work begun inside must be done in so many seconds."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def due() -> float | None:
    """The moment (`time.monotonic()`) by which the request's work must be done; None where there is none."""
    return _deadline.get()


def seconds_left() -> float | None:
    """Until the request's deadline, never below 0; None where there is none."""
    ends = due()
    return None if ends is None else max(0.0, ends - time.monotonic())


@contextmanager
def one_answer() -> Iterator[None]:
    """Work begun inside ends in one answer, and shares what is remembered of it."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def remembered() -> dict[str, Any] | None:
    """What was noted of the request so far, under names of those who noted it; None outside a request."""
    return _remembered.get()
