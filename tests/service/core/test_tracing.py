"""What traces hold and where they go: one id from the caller to the device, and never a text."""

import asyncio
import json
import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from rewright.service.core import tracing
from rewright.service.core.batcher import Batcher
from tests.bench.serving_processes import ROOT, gateway, pods
from tests.waiting import PATIENCE_S

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def spans_of(work: Callable[[], None]) -> list[dict[str, Any]]:
    """What `work` leaves in an exporter. In a process of its own, for OpenTelemetry takes one provider per process."""
    pytest.importorskip("opentelemetry.sdk")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return [json.loads(span) for span in process.submit(_recorded, work).result()]


def _recorded(work: Callable[[], None]) -> list[str]:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    work()
    return [span.to_json() for span in exporter.get_finished_spans()]


def two_requests_in_one_batch() -> None:
    busy, gate = threading.Event(), threading.Event()

    def echo(items: Sequence[str]) -> list[str]:
        busy.set()
        gate.wait(60)
        return list(items)

    batcher = Batcher("device", echo, lambda _: 1, budget=100, capacity=100)

    async def request(name: str, items: int) -> None:
        with tracing.span(name):
            assert await batcher.submit([name] * items) == [name] * items

    async def run() -> None:
        batcher.start()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(batcher.submit(["warm-up"]))  # outside of any span
            await asyncio.to_thread(busy.wait)
            tasks.create_task(request("first", 2))
            tasks.create_task(request("second", 3))
            await asyncio.sleep(0)  # one step each, until they wait for the thread
            assert batcher.waiting_cost == 5
            gate.set()
        await batcher.close()

    asyncio.run(run())


def test_a_batch_is_a_child_of_its_first_request_and_linked_to_the_others() -> None:
    spans = spans_of(two_requests_in_one_batch)
    (first,), (second,) = ([span for span in spans if span["name"] == name] for name in ("first", "second"))
    warm_up, batch = (span for span in spans if span["name"] == "device batch")
    assert warm_up["parent_id"] is None and not warm_up["links"]
    assert batch["attributes"] == {"rewright.items": 5}
    assert batch["parent_id"] == first["context"]["span_id"]
    assert [link["context"]["span_id"] for link in batch["links"]] == [second["context"]["span_id"]]


def trouble_that_quotes_a_text() -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("outer"), tracing.span("inner", groups=1):
        raise ValueError("secret text")


def test_an_error_leaves_its_type_and_nothing_of_its_message() -> None:
    inner, outer = spans_of(trouble_that_quotes_a_text)
    assert inner["attributes"] == {"groups": 1, "error.type": "ValueError"}
    assert outer["attributes"] == {"error.type": "ValueError"}
    for span in (inner, outer):
        assert not span["events"] and "secret" not in json.dumps(span)


def test_without_a_provider_the_callers_trace_is_passed_on_and_its_baggage_is_not() -> None:
    headers: dict[str, str] = {}
    with tracing.span("/v1/nll", headers={**CALLER, "baggage": "text=secret"}), tracing.span("remote"):
        tracing.inject(headers)
    assert headers == CALLER
    with tracing.span("/v1/nll", headers={}):
        tracing.inject(other := {})
    assert other == {}


def test_the_no_op_tracer_needs_no_sdk() -> None:
    code = "import sys; from rewright.service.core import tracing, batcher; print('opentelemetry.sdk' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "False"


def test_spans_of_gateway_and_post_share_the_callers_trace(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setenv("REWRIGHT_LEAVE_S", "0")
    bodies = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    with pods(1) as servers, gateway([servers[0].url], REWRIGHT_OTLP_ENDPOINT=endpoint) as front:
        response = httpx.post(
            f"{front.url}/v1/nll",
            json={"groups": [{"problem": "p", "candidates": ["secret text"]}]},
            headers=CALLER,
            timeout=PATIENCE_S,
        )
        assert response.status_code == 200
        front.send(signal.SIGTERM)
        assert front.process.wait(PATIENCE_S) == 0
    collector.shutdown()
    sent = b"".join(bodies)
    assert b"/v1/nll" in sent and b"remote /v1/nll" in sent
    assert sent.count(bytes.fromhex(TRACE)) >= 2 and b"secret" not in sent
