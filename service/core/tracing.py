"""OpenTelemetry traces, gateway → scorer → device, when an endpoint is set; otherwise every call here does nothing.

`configure` is called once at start. Spans hold names, counts and codes, never a text. Not covered: sampling (the
SDK's own environment variables decide) and metrics (`rewright.service.ops.metrics`).
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

from rewright.service.errors import SettingsError

Place = Any
"""Where in a trace something happens: an OpenTelemetry context, or None without tracing."""

_tracer: Any = None


def configure(endpoint: str) -> None:
    """Send spans to an OTLP/HTTP endpoint, such as http://collector:4318. Raises `SettingsError` without the extra."""
    global _tracer  # noqa: PLW0603  one exporter per process, as OpenTelemetry has it
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError("otlp_endpoint needs OpenTelemetry; install rewright[otel] or unset it") from None
    provider = TracerProvider(resource=Resource.create({"service.name": "rewright"}))
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    _tracer = provider.get_tracer("rewright")


def here() -> Place:
    """The place to continue from on another thread."""
    if _tracer is None:
        return None
    from opentelemetry import context

    return context.get_current()


@contextmanager
def span(name: str, *, headers: Mapping[str, str] | None = None, **attributes: str | int) -> Iterator[None]:
    """Time what happens inside. headers: a request's, whose `traceparent` this continues."""
    if _tracer is None:
        yield
        return
    from opentelemetry import propagate

    place = propagate.extract(headers) if headers is not None else None
    with _tracer.start_as_current_span(name, context=place, attributes=attributes):
        yield


@contextmanager
def device_work(name: str, places: Sequence[Place]) -> Iterator[None]:
    """One batch: a child of the request of its first item, linked to those of the others."""
    if _tracer is None:
        yield
        return
    from opentelemetry import trace

    spans = {trace.get_current_span(place).get_span_context(): place for place in places}
    links = [trace.Link(found) for found in list(spans)[1:] if found.is_valid]
    with _tracer.start_as_current_span(
        f"{name} batch", context=places[0], links=links, attributes={"rewright.items": len(places)}
    ):
        yield


def inject(headers: MutableMapping[str, str]) -> None:
    """Add `traceparent` to the headers of a request to another pod."""
    if _tracer is not None:
        from opentelemetry import propagate

        propagate.inject(headers)


def flush() -> None:
    """Send what has not been sent yet; called at the end."""
    if _tracer is not None:
        from opentelemetry import trace

        provider: Any = trace.get_tracer_provider()
        provider.shutdown()
