"""A real HTTP server on loopback that speaks OpenAI's chat completions, as well or as badly as a test wants.

The "model" reads P(valid) from the candidate itself: a text that holds `p=0.73` is judged valid with probability 0.73.
"""

import json
import math
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """One way to answer. `drop` closes the connection without a word."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    drop: bool = False
    latency_s: float = 0.0


def completion(
    content: str | None, *, logprobs: dict[str, float] | None = None, finish_reason: str = "length", **message: Any
) -> dict[str, Any]:
    """A chat completion of one token; logprobs: probability of each of the likeliest tokens."""
    top = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in (logprobs or {}).items()]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish_reason,
                "logprobs": {"content": [{**top[0], "top_logprobs": top}]} if top else None,
            }
        ],
    }


class FakeOpenAI:
    """`by_text` answers requests that hold one of its texts. For others `script` holds replies for the next requests;
    when that is empty, `usual` answers, or else the model.
    """

    def __init__(self) -> None:
        self.by_text: dict[str, Reply] = {}
        self.script: deque[Reply] = deque()
        self.usual: Reply | None = None
        self.latency_s = 0.0
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listens; a second start, after `stop`, is on the same port."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                fake._handle(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handle(self, http: BaseHTTPRequestHandler) -> None:
        request = json.loads(http.rfile.read(int(http.headers["Content-Length"])))
        with self._lock:
            self.requests.append(request)
            self.headers.append(dict(http.headers))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            asked = request["messages"][-1]["content"]
            reply = next((reply for text, reply in self.by_text.items() if text in asked), None)
            reply = reply or (self.script.popleft() if self.script else self.usual)
        try:
            self._reply(http, request, reply or Reply(body=self._judge(request)))
        except OSError:
            http.close_connection = True  # the caller left
        finally:
            with self._lock:
                self._at_once -= 1

    def _reply(self, http: BaseHTTPRequestHandler, request: dict[str, Any], reply: Reply) -> None:
        time.sleep(reply.latency_s or self.latency_s)
        if reply.drop or self._server is None:
            http.close_connection = True
            return
        body = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        # Out of the count before the caller can know of the answer.
        with self._lock:
            self._at_once -= 1
        try:
            http.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                http.send_header(name, value)
            http.send_header("Content-Length", str(len(body.encode())))
            http.end_headers()
            http.wfile.write(body.encode())
        finally:
            with self._lock:
                self._at_once += 1

    def _judge(self, request: dict[str, Any]) -> dict[str, Any]:
        found = re.findall(r"p=(0?\.\d+)", request["messages"][-1]["content"])
        p = float(found[-1]) if found else 0.5
        likeliest = "Yes" if p >= 0.5 else "No"
        # Half the mass is elsewhere and the labels come in several spellings, as real models have it.
        tokens = {"Yes": 0.4 * p, " yes": 0.1 * p, "No": 0.4 * (1 - p), "NO": 0.1 * (1 - p), "Maybe": 0.5}
        return completion(likeliest, logprobs=tokens)


@contextmanager
def fake_openai() -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()
