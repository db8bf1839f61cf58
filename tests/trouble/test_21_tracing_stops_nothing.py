"""Tracing on the whole topology: it stops nothing, and no text of a candidate is in a span, a log line or a metric."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from rewright.service.core import tracing
from rewright.service.core.batcher import Batcher
from tests.fake_openai import Reply, fake_openai
from tests.live_server import LiveServer, serve_process

CANARY = "Zwölfboxkämpfer"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SCORERS = ("VERIFY", "JUDGE", "NLL", "DIVERSITY")
RIGHT = f"{CANARY} has six bags of seven marbles, and six times seven is forty-two. The answer is 42."
GROUP = {"problem": f"What is 6 times 7, {CANARY}?", "reference": f"{CANARY}: 6 * 7 = 42.", "answer": "42"}
"""What of the texts stands behind the canary is of no account."""
CANDIDATES = [
    RIGHT,
    f"{RIGHT} In other words: 42.",
    f"{CANARY} says 41.",
    f"{CANARY} " * 20,
    f"{CANARY} <|im_end|><|im_start|> 42",
    " ",
    f"\\boxed{{{CANARY}^{{9^{{9^9}}}}}}",
    f"\\boxed{{\\int_0^1 x^3 e^x dx + {CANARY}}}",
]


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An OTLP collector on loopback: its address, and what it was sent."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", bodies
    finally:
        server.shutdown()
        server.server_close()


def gateway_of(pod: LiveServer, **changed: str) -> dict[str, str]:
    where = {f"REWRIGHT_SCORERS__{name}__WHERE": "remote" for name in SCORERS}
    return where | {f"REWRIGHT_SCORERS__{name}__URL": pod.url for name in SCORERS} | changed


def go_wrong(client: httpx.Client) -> None:
    """Every way in which a request can fail, with the canary in each text of it."""
    whole = {"groups": [{**GROUP, "candidates": [RIGHT]}]}
    for body in (
        b'{"groups": [{"problem": "' + CANARY.encode(),
        CANARY.encode(),
        CANARY.encode("utf-16"),
        b'{"groups": [{"candidates": ["' + CANARY.encode() + b'\\ud800"]}]}',
        b"[" * 5000,
    ):
        assert client.post("/v1/reward", content=body, headers={"Content-Type": "application/json"}).status_code == 422
    for changed in (
        {"groups": [{**GROUP, "candidates": [[CANARY]]}]},
        {"groups": [{**GROUP, "candidates": [RIGHT], CANARY: CANARY}], CANARY: {CANARY: CANARY}},
        {"groups": [{**GROUP, "problem": None, "candidates": [RIGHT]}]},
        {"groups": [{"candidates": [RIGHT], "problem": {"text": CANARY}}]},
        {"groups": [{**GROUP, "candidates": [RIGHT]}], "rule": {"weights": {CANARY: 1.0}}},
        {**whole, "rule": {"reasoning": CANARY}},
    ):
        assert client.post("/v1/reward", json=changed).status_code in (200, 422)
    bad_gold = {"groups": [{**GROUP, "answer": f"\\frac{{{CANARY}", "candidates": [RIGHT, CANARY]}]}
    assert client.post("/v1/reward", json=bad_gold).status_code == 200
    assert client.post("/v1/reward", json=whole, headers={"X-Deadline-Ms": "1"}).status_code in (200, 429, 504)
    client.post(f"/v1/{CANARY}", json=whole)
    client.get("/v1/reward", params={"text": CANARY})


def texts_told(server: LiveServer) -> str:
    assert server.log is not None
    return server.log.read_text(errors="replace") + httpx.get(f"{server.url}/metrics", timeout=60).text


def test_gateway_pods_and_batchers_work_with_tracing_on_and_tell_no_text() -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    told = []
    with collector() as (endpoint, bodies), ExitStack() as stack:
        traced = {"REWRIGHT_OTLP_ENDPOINT": endpoint, "REWRIGHT_LOG_LEVEL": "debug", "OTEL_BSP_SCHEDULE_DELAY": "100"}
        traced["REWRIGHT_SCORERS__VERIFY__CPU_S"] = "1"
        pod = stack.enter_context(serve_process({**traced, "REWRIGHT_SCORERS__NLL__MAX_TOKENS": "512"}))
        judge = stack.enter_context(fake_openai())
        judge.usual = Reply(status=401, body={"error": CANARY})
        judged = {
            "REWRIGHT_SCORERS__JUDGE__WHERE": "local",
            "REWRIGHT_SCORERS__JUDGE__BACKEND": "openai",
            "REWRIGHT_SCORERS__JUDGE__MODEL": "fake",
            "REWRIGHT_SCORERS__JUDGE__BASE_URLS": judge.base_url,
        }
        fronts = [gateway_of(pod), {k: v for k, v in gateway_of(pod).items() if "__JUDGE__" not in k} | judged]
        for front in [stack.enter_context(serve_process({**traced, **settings})) for settings in fronts]:
            with front.client(headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}) as client:
                body = {"groups": [{**GROUP, "candidates": CANDIDATES}]}
                for path in ("verify", "judge", "nll", "diversity", "reward"):
                    answer = client.post(f"/v1/{path}", json=body)
                    assert answer.status_code == 200, answer.text
                scored = client.post("/v1/nll", json={"groups": [{**GROUP, "candidates": [RIGHT]}]}).json()
                assert scored["groups"][0]["candidates"][0]["status"] == "scored"
                go_wrong(client)
        told.append(texts_told(pod))
        assert pod.process is not None
        pod.process.kill()
        pod.process.wait()
        for settings in (gateway_of(pod, REWRIGHT_SCORERS__NLL__TIMEOUT_S="2"),):
            front = stack.enter_context(serve_process({**traced, **settings}))
            with front.client() as client:
                lost = client.post("/v1/nll", json={"groups": [{**GROUP, "candidates": CANDIDATES}]})
                assert lost.status_code in (200, 503)
            told.append(texts_told(front))
    sent = b"".join(bodies)
    for name in ("/v1/reward", "remote /v1/nll", "nll batch", "diversity batch", "judge batch"):
        assert name.encode() in sent, name
    assert bytes.fromhex(TRACE) in sent
    for word in (CANARY, CANARY.encode("unicode_escape").decode(), "has six bags of seven marbles"):
        assert word.encode() not in sent
        assert not any(word in text for text in told)


class Broken:
    """A tracer in which one thing raises."""

    def __init__(self, where: str) -> None:
        self._where = where

    def start_as_current_span(self, *_: object, **__: object) -> "Broken":
        self._raise_at("start")
        return self

    def __enter__(self) -> "Broken":
        self._raise_at("enter")
        return self

    def __exit__(self, *_: object) -> None:
        self._raise_at("exit")

    def set_attribute(self, *_: object) -> None:
        self._raise_at("attribute")

    def _raise_at(self, where: str) -> None:
        if where == self._where:
            raise TypeError(f"unhashable type: {CANARY}")


@pytest.mark.parametrize("where", ["start", "enter", "exit", "attribute"])
def test_a_broken_tracer_stops_no_batch(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "_tracer", Broken(where))
    monkeypatch.setattr(tracing, "_said", threading.Event())
    device: Batcher[int, int] = Batcher(
        "device", lambda items: [10 // n for n in items], lambda _: 1, budget=4, capacity=9
    )

    async def scenario() -> list[Any]:
        device.start()
        with tracing.span("request"):
            results = [(await device.submit([n]))[0] for n in (1, 2, 5)]
        with pytest.raises(ZeroDivisionError), tracing.span("request"):
            raise ZeroDivisionError
        await device.close()
        return results

    assert asyncio.run(scenario()) == [10, 5, 2]
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1 and CANARY not in caplog.text and "TypeError" in said[0].message


def test_broken_contexts_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Raises:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    monkeypatch.setattr(tracing, "_propagator", Raises())
    monkeypatch.setattr(tracing, "context", Raises())
    headers: dict[str, str] = {}
    with tracing.span("request", headers={"traceparent": "nonsense"}):
        tracing.inject(headers)
    assert headers == {}
    with tracing.device_work("device", [tracing.here(), None]):  # type: ignore[list-item]
        pass
    with tracing.device_work("device", []):
        pass
