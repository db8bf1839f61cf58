"""OpenTelemetry traces, gateway → scorer → device. Without an endpoint the API's own no-op tracer records nothing.

`configure` is called once at start. Spans hold names, counts, codes and the type of an error, never a text: neither
messages of exceptions nor the caller's baggage are recorded or passed on. With or without an endpoint a request's trace
context (`traceparent`, `tracestate`) reaches the pods, so that a trace has no gap where one service records nothing.
Tracing never stops work: whatever goes wrong in it is logged once and otherwise ignored, and a collector that hangs
delays the end of the process by `FLUSH_S` at most.
Not covered: sampling (the SDK's own environment variables decide) and metrics (`rewright.service.ops.metrics`).
"""

import logging
import threading
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rewright.service.core.logs import exception_location
from rewright.service.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

Place = Context
"""Where in a trace something happens."""
FLUSH_S = 5.0

_tracer = trace.get_tracer("rewright")
_propagator = TraceContextTextMapPropagator()
_provider: "TracerProvider | None" = None
_said = threading.Event()
"""That tracing fails."""


def configure(endpoint: str) -> None:
    """Send spans to an OTLP/HTTP endpoint, such as http://collector:4318. Raises `SettingsError` without the extra."""
    global _provider  # noqa: PLW0603  one exporter per process, as OpenTelemetry has it
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("otlp_endpoint needs OpenTelemetry; install rewright[otel] or unset it") from None
    with _harmless():
        _provider = TracerProvider(resource=Resource.create({"service.name": "rewright"}))
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        _provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(_provider)


def here() -> Place:
    """The place to continue from on another thread."""
    with _harmless():
        return context.get_current()
    return Context()


@contextmanager
def span(name: str, *, headers: Mapping[str, str] | None = None, **attributes: str | int) -> Iterator[None]:
    """Time what happens inside. headers: a request's, whose `traceparent` this continues."""
    place = None
    with _harmless():
        place = _propagator.extract(headers) if headers is not None else None
    with _recorded(name, place, attributes):
        yield


@contextmanager
def device_work(name: str, places: Sequence[Place]) -> Iterator[None]:
    """One batch: a child of the request of its first item, linked to those of the others."""
    links: list[Link] = []
    with _harmless():
        parent, *others = (trace.get_current_span(place).get_span_context() for place in places)
        # By ids: a span context has no hash of its own.
        linked = {(other.trace_id, other.span_id): other for other in others if other.is_valid}
        linked.pop((parent.trace_id, parent.span_id), None)
        links = [Link(other) for other in linked.values()]
    with _recorded(f"{name} batch", places[0] if places else None, {"rewright.items": len(places)}, links):
        yield


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` to the headers of a request to another pod."""
    with _harmless():
        _propagator.inject(headers)


def flush() -> None:
    """Send what has not been sent yet, in `FLUSH_S` at most; called at the end."""
    if _provider is not None:
        ending = threading.Thread(target=_shut_down, args=(_provider,), daemon=True)
        ending.start()
        ending.join(FLUSH_S)


def _shut_down(provider: "TracerProvider") -> None:
    with _harmless():
        provider.shutdown()


@contextmanager
def _recorded(
    name: str, place: Place | None, attributes: Mapping[str, str | int], links: Sequence[Link] = ()
) -> Iterator[None]:
    recording = current = None
    with _harmless():
        recording = _tracer.start_as_current_span(
            name,
            context=place,
            attributes=attributes,
            links=links,
            record_exception=False,
            set_status_on_exception=False,
        )
        current = recording.__enter__()
    try:
        yield
    except BaseException as error:
        with _harmless():
            if current is not None:
                # The type alone: a message may quote a text.
                current.set_attribute("error.type", type(error).__name__)
        raise
    finally:
        with _harmless():
            if recording is not None and current is not None:
                recording.__exit__(None, None, None)


@contextmanager
def _harmless() -> Iterator[None]:
    """What goes wrong inside is nobody's trouble."""
    try:
        yield
    except Exception as error:
        if not _said.is_set():
            _said.set()
            log.warning("tracing fails with %s, which is said once; work goes on", exception_location(error))
