"""What a judge's server refuses: this service, which is the service's trouble, or one text, which is final."""

import asyncio
import gzip
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest

from rewright.service.schema import Group
from rewright.service.scorers.base import Scorers
from rewright.service.scorers.judge.chat_endpoints import LONGEST_ANSWER, OTHER_QUESTION
from rewright.service.scorers.judge.openai_backend import OpenAIJudge
from tests.fake_openai import FakeOpenAI, Reply, completion, fake_openai
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers
from tests.service.scorers.judge.openai_judge import PROMPT, ask, code, group, opened

TEXT = "p=0.8 as six sevens make that many"
NOT_OF_THE_TEXT = [301, 302, 307, 401, 402, 403, 404, 405, 406, 407, 409, 410, 421, 451, 501, 204]


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


@pytest.fixture
def second() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


@pytest.mark.parametrize("status", NOT_OF_THE_TEXT)
def test_a_refusal_of_key_or_route_is_retryable(server: FakeOpenAI, status: int) -> None:
    server.usual = Reply(status=status, headers={"Location": "/login"})
    items = ask(server, groups=[group("p=0.8", "p=0.2")], call_timeout_s=2.0)
    assert [code(item) for item in items] == [("judge_unavailable", True)] * 2
    assert str(status) in items[0].error.message


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_server_that_refuses_every_question_is_not_the_texts_fault(server: FakeOpenAI, status: int) -> None:
    server.usual = Reply(status=status, body={"error": {"message": "top_logprobs: What is 6 times 7?"}})
    (item,) = ask(server, groups=[group("p=0.8")])
    assert code(item) == ("judge_unavailable", True)
    assert str(status) in item.error.message and "6 times 7" not in item.error.message


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_text_that_is_refused_by_a_server_that_answers_others_is_final(server: FakeOpenAI, status: int) -> None:
    server.by_text["an endless tale"] = Reply(status=status, body={"error": "an endless tale"})
    refused, other = ask(server, groups=[group("an endless tale", "p=0.8")], concurrency=1)
    assert code(refused) == ("judge_rejected", False)
    assert str(status) in refused.error.message and "tale" not in refused.error.message
    assert other.score == pytest.approx(0.8)
    texts = [request["messages"][0]["content"] for request in server.requests]
    assert texts.count(OTHER_QUESTION) == 1 and len(texts) == 3  # nothing is asked in vain


@pytest.mark.parametrize("reply", [Reply(status=s) for s in (302, 401, 404, 400, 413)] + [Reply(body="no JSON")])
def test_another_server_is_asked_before_anything_is_final(server: FakeOpenAI, second: FakeOpenAI, reply: Reply) -> None:
    """Whichever of the two the group's affinity points at."""
    for sick, well in ((server, second), (second, server)):
        sick.usual, well.usual = reply, None
        items = ask(server, second, groups=[group("p=0.8", "p=0.1", id=str(n)) for n in range(4)])
        assert [item.score for item in items] == pytest.approx([0.8, 0.1] * 4)


def test_a_text_that_one_refuses_is_tried_at_the_other(server: FakeOpenAI, second: FakeOpenAI) -> None:
    for fake in (server, second):
        fake.by_text["long"] = Reply(status=400)
        (item,) = ask(server, second, groups=[group("a long one p=0.8")])
        if fake is server:
            assert item.score == pytest.approx(0.8)
    assert code(item) == ("judge_rejected", False)  # both refuse it now
    second.by_text["long"] = Reply(status=401)
    (item,) = ask(server, second, groups=[group("a long one p=0.8")])
    assert code(item) == ("judge_unavailable", True)


def test_the_log_says_it_once_and_once_more_when_it_is_over(
    server: FakeOpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rewright")
    server.script.extend([Reply(status=401)] * 5)
    ask(server, groups=[group(*(f"{n} p=0.{n}" for n in range(1, 10)), id=i) for i in "abc"], concurrency=1)
    said = [record for record in caplog.records if "turns this service away" in record.message]
    assert len(said) == 1 and said[0].levelno == logging.ERROR
    assert "401" in said[0].message and "scorers.judge.api_key" in said[0].message
    assert len([r for r in caplog.records if "answers again" in r.message]) == 1
    assert "a-secret-key" not in caplog.text


def test_readiness_info_and_metrics_tell_and_stop_telling(server: FakeOpenAI) -> None:
    judge = OpenAIJudge(
        base_urls=[server.base_url + "?key=canary"],
        model="fake",
        api_key="canary",
        prompt=PROMPT,
        threshold=0.5,
        concurrency=4,
        call_timeout_s=5.0,
    )
    others = {scorer.name: scorer for scorer in plain_scorers(judge=None)}
    scorers = Scorers(**others, judge=judge, local=frozenset(others))
    body = {"groups": [group("p=0.8").model_dump(mode="json", exclude_none=True)]}
    server.usual = Reply(status=403)
    with serve_app(scorers) as live, live.client() as client:

        def told() -> tuple[Any, Any, bool]:
            ready = client.get("/readyz")
            assert ready.status_code == 200 and "canary" not in ready.text
            info = client.get("/v1/info").json()
            away = 'rewright_replicas{scorer="judge",state="away"} 1.0' in client.get("/metrics").text
            return ready.json().get("elsewhere"), info["troubles"], away

        assert told() == (None, {}, False)
        (item,) = client.post("/v1/judge", json=body).json()["groups"][0]["candidates"]
        assert item["error"]["code"] == "judge_unavailable" and item["error"]["retryable"]
        elsewhere, troubles, away = told()
        assert "403" in elsewhere["judge"][0] and "403" in troubles["judge"][0] and away
        server.usual = None
        (item,) = client.post("/v1/judge", json=body).json()["groups"][0]["candidates"]
        assert item["status"] == "scored"
        assert told() == (None, {}, False)


def test_a_server_that_is_back_is_used_again_beside_one_that_works(
    server: FakeOpenAI, second: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewright.service.scorers.judge.chat_endpoints.ASK_BACK_S", 0.0)
    server.usual = Reply(status=401)

    def was_asked(fake: FakeOpenAI) -> bool:
        return any("p=0.8" in request["messages"][0]["content"] for request in fake.requests)

    async def run() -> None:
        async with opened(server, second) as judge:

            async def ask_all(turn: int) -> None:
                groups = [Group(id="g", problem=f"{turn}.{n}?", reference="r", candidates=[TEXT]) for n in range(8)]
                for result in await judge.score(groups):
                    assert [item.score for item in result.candidates] == [pytest.approx(0.8)]

            await ask_all(0)
            assert was_asked(server) and was_asked(second)
            server.usual = None
            server.requests.clear()
            for turn in count(1):
                await ask_all(turn)
                if was_asked(server):
                    break

    asyncio.run(run())


# --- answers of any shape and size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "[" * 200_000,
        '{"choices":' * 100_000,
        '{"choices": [' + "[" * 50_000 + "]" * 50_000 + "]}",
        json.dumps(completion("Yes", logprobs={"Yes": 0.5})).replace("-0.6931471805599453", "NaN"),
        json.dumps(completion("Yes", logprobs={"Yes": 0.5})).replace("-0.6931471805599453", "1e999"),
        json.dumps(completion("Yes", logprobs={"Yes": 0.5})).replace("-0.6931471805599453", "Infinity"),
        '{"choices": [{"message": {"content": "\\ud800"}}]}',
        "\ufeff{}",
        "",
    ],
)
def test_no_answer_is_an_exception(server: FakeOpenAI, body: str) -> None:
    server.usual = Reply(body=body)
    (item,) = ask(server, groups=[group("p=0.8")], call_timeout_s=2.0)
    assert code(item) == ("judge_unavailable", True)


@contextmanager
def answering(write: Callable[[BaseHTTPRequestHandler, threading.Event], None]) -> Iterator[str]:
    """A server whose answer `write` sends, until the event says that the test is over. Gives its base URL."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with suppress(OSError):
                write(self, over)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_an_endless_answer_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [0]

    def endless(http: BaseHTTPRequestHandler, over: threading.Event) -> None:
        http.send_response(200)
        http.end_headers()
        while not over.is_set():
            http.wfile.write(b" " * 65_536)
            sent[0] += 65_536

    monkeypatch.setattr("rewright.service.scorers.judge.chat_endpoints.ROUNDS", 1)
    with answering(endless) as url:
        (item,) = ask(groups=[group("p=0.8")], base_urls=[url])
    assert code(item) == ("judge_unavailable", True) and str(LONGEST_ANSWER) in item.error.message
    assert sent[0] < 64 * LONGEST_ANSWER  # the rest are the buffers of two sockets


@pytest.mark.parametrize("status", [200, 401])
def test_an_answer_in_drips_ends_with_the_call(status: int) -> None:
    def drips(http: BaseHTTPRequestHandler, over: threading.Event) -> None:
        http.send_response(status)
        http.end_headers()
        while not over.wait(0.01):
            http.wfile.write(b" ")

    with answering(drips) as url:
        (item,) = ask(groups=[group("p=0.8")], base_urls=[url], call_timeout_s=0.3)
    assert code(item) == ("judge_unavailable", True)


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(json.dumps(completion("Yes", logprobs={"Yes": 0.5})).encode())

    def packed(http: BaseHTTPRequestHandler, over: threading.Event) -> None:
        assert http.headers["Accept-Encoding"] == "identity"
        http.send_response(200)
        http.send_header("Content-Encoding", "gzip")
        http.end_headers()
        http.wfile.write(bomb)

    monkeypatch.setattr("rewright.service.scorers.judge.chat_endpoints.ROUNDS", 1)
    with answering(packed) as url:
        (item,) = ask(groups=[group("p=0.8")], base_urls=[url])
    assert code(item) == ("judge_unavailable", True)
