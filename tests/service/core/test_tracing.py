"""Traces reach a collector when an endpoint is set: the request's span and that of the post to a pod, under one id."""

import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.bench.serving_processes import gateway, pods
from tests.waiting import PATIENCE_S

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")


def test_spans_of_gateway_and_post_share_the_callers_trace(monkeypatch):
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
    trace = "0af7651916cd43dd8448eb211c80319c"
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    with pods(1) as servers, gateway([servers[0].url], REWRIGHT_OTLP_ENDPOINT=endpoint) as front:
        response = httpx.post(
            f"{front.url}/v1/nll",
            json={"groups": [{"problem": "p", "candidates": ["secret text"]}]},
            headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"},
            timeout=PATIENCE_S,
        )
        assert response.status_code == 200
        front.send(signal.SIGTERM)
        assert front.process.wait(PATIENCE_S) == 0
    collector.shutdown()
    sent = b"".join(bodies)
    assert b"/v1/nll" in sent and b"remote /v1/nll" in sent
    assert sent.count(bytes.fromhex(trace)) >= 2 and b"secret" not in sent
