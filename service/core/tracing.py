"""OpenTelemetry traces, gateway → scorer → device. Without an endpoint the API's own no-op tracer records nothing.

`configure` is called once at start. Spans hold names, counts, codes and the type of an error, never a text: neither
messages of exceptions nor the caller's baggage are recorded or passed on. With or without an endpoint a request's trace
context (`traceparent`, `tracestate`) reaches the pods, so that a trace has no gap where one service records nothing.
Not covered: sampling (the SDK's own environment variables decide) and metrics (`rewright.service.ops.metrics`).
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rewright.service.errors import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Place = Context
"""Where in a trace something happens."""

_tracer = trace.get_tracer("rewright")
_propagator = TraceContextTextMapPropagator()
_provider: "TracerProvider | None" = None


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
    _provider = TracerProvider(resource=Resource.create({"service.name": "rewright"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    _provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(_provider)


def here() -> Place:
    """The place to continue from on another thread."""
    return context.get_current()


@contextmanager
def span(name: str, *, headers: Mapping[str, str] | None = None, **attributes: str | int) -> Iterator[None]:
    """Time what happens inside. headers: a request's, whose `traceparent` this continues."""
    place = _propagator.extract(headers) if headers is not None else None
    with _recorded(name, place, attributes):
        yield


@contextmanager
def device_work(name: str, places: Sequence[Place]) -> Iterator[None]:
    """One batch: a child of the request of its first item, linked to those of the others."""
    parent, *others = (trace.get_current_span(place).get_span_context() for place in places)
    # By ids: a span context has no hash of its own.
    linked = {(other.trace_id, other.span_id): other for other in others if other.is_valid}
    linked.pop((parent.trace_id, parent.span_id), None)
    links = [Link(other) for other in linked.values()]
    with _recorded(f"{name} batch", places[0], {"rewright.items": len(places)}, links):
        yield


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` to the headers of a request to another pod."""
    _propagator.inject(headers)


def flush() -> None:
    """Send what has not been sent yet; called at the end."""
    if _provider is not None:
        _provider.shutdown()


@contextmanager
def _recorded(
    name: str, place: Place | None, attributes: Mapping[str, str | int], links: Sequence[Link] = ()
) -> Iterator[None]:
    with _tracer.start_as_current_span(
        name,
        context=place,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield
        except BaseException as error:
            # The type alone: a message may quote a text.
            current.set_attribute("error.type", type(error).__name__)
            raise
