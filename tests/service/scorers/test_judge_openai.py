"""The openai judge against a real HTTP server that behaves well or badly."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.errors import ScorerUnavailable, SettingsError
from service.schema import Failed, Group, JudgeScored
from service.scorers.chat_endpoints import ROUNDS
from service.scorers.judge_openai import OpenAIJudge
from service.scorers.judge_prompt import JudgePrompt
from tests.fake_openai import FakeOpenAI, Reply, completion, fake_openai

PROMPT = JudgePrompt.load("label-v1")


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


@pytest.fixture
def second() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


@asynccontextmanager
async def opened(*servers: FakeOpenAI, **changed: Any) -> AsyncIterator[OpenAIJudge]:
    arguments: dict[str, Any] = {
        "base_urls": [s.base_url for s in servers],
        "model": "fake",
        "api_key": "a-secret-key",
        "prompt": PROMPT,
        "threshold": 0.5,
        "concurrency": 8,
        "call_timeout_s": 20.0,
    }
    judge = OpenAIJudge(**arguments | changed)
    await judge.open()
    try:
        yield judge
    finally:
        await judge.close()


def group(*candidates: str, id: str = "g") -> Group:
    return Group(id=id, problem="What is 6 times 7?", reference="6 * 7 = 42.", candidates=list(candidates))


def ask(*servers: FakeOpenAI, groups: list[Group], **changed: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with opened(*servers, **changed) as judge:
            return [item for result in await judge.score(groups) for item in result.candidates]

    return asyncio.run(run())


def one(server: FakeOpenAI, body: Any, *, threshold: float = 0.5) -> Any:
    server.usual = Reply(body=body)
    return ask(server, groups=[group("anything")], threshold=threshold)[0]


def code(item: Any) -> tuple[str, bool]:
    assert isinstance(item, Failed)
    return item.error.code, item.error.retryable


# --- reading the verdict ----------------------------------------------------------------------------------------------


def test_scores_are_p_valid_in_the_order_asked(server: FakeOpenAI) -> None:
    server.latency_s = 0.01
    wanted = [0.9, 0.2, 0.55, 0.45, 0.05, 0.7]
    groups = [group(*(f"it is p={p:.2f}" for p in wanted), id="a"), group("p=0.31", id="b")]
    items = ask(server, groups=groups)
    assert [i.score for i in items] == pytest.approx([*wanted, 0.31])
    assert [i.verdict for i in items] == ["valid", "invalid", "valid", "invalid", "invalid", "valid", "invalid"]
    assert all(i.valid == (i.verdict == "valid") for i in items)


def test_the_threshold_decides_and_counts_itself_as_valid(server: FakeOpenAI) -> None:
    body = completion("No", logprobs={"No": 0.25, "Yes": 0.25})
    assert one(server, body, threshold=0.5).verdict == "valid"
    assert one(server, body, threshold=0.51).verdict == "invalid"


@pytest.mark.parametrize(("text", "verdict"), [("Yes", "valid"), (" yes\n", "valid"), ("NO", "invalid")])
def test_without_logprobs_a_bare_label_is_the_verdict(server: FakeOpenAI, text: str, verdict: str) -> None:
    item = one(server, completion(text))
    assert (item.verdict, item.score, item.valid) == (verdict, None, verdict == "valid")


@pytest.mark.parametrize(
    "body",
    [
        completion("Yes, it is sound"),
        completion("The answer is Yes."),
        completion("Yesterday"),
        completion("**Yes**"),
        completion("Maybe", logprobs={"Maybe": 0.9, "Perhaps": 0.1}),
        completion("", finish_reason="stop"),
        completion(None, finish_reason="stop", refusal="I cannot help with that."),
    ],
)
def test_a_verdict_is_never_searched_for(server: FakeOpenAI, body: Any) -> None:
    assert one(server, body) == JudgeScored(valid=False, score=None, verdict="no_verdict")


@pytest.mark.parametrize(
    "body",
    [
        completion(None, finish_reason="length", reasoning_content="Let"),
        completion("", finish_reason="length"),
        completion("Yes", logprobs={"Yes": 0.9}, finish_reason="content_filter"),
    ],
)
def test_a_judge_cut_off_by_its_limit_or_filter_is_a_failure(server: FakeOpenAI, body: Any) -> None:
    assert code(one(server, body)) == ("judge_cut_off", True)


@pytest.mark.parametrize("body", [{"choices": []}, {"id": 1}, {"choices": [{"message": 3}]}])
def test_an_answer_of_another_shape_is_no_verdict_of_any_kind(server: FakeOpenAI, body: Any) -> None:
    assert code(one(server, body)) == ("judge_unavailable", True)


def test_blank_candidates_fail_alone_and_ask_nobody(server: FakeOpenAI) -> None:
    blank, scored = ask(server, groups=[group(" \n", "p=0.8")])
    assert code(blank) == ("blank", False)
    assert scored.score == pytest.approx(0.8)
    assert len(server.requests) == 1


def test_equal_candidates_are_asked_once_and_answered_each(server: FakeOpenAI) -> None:
    items = ask(server, groups=[group("p=0.8", "p=0.1", "p=0.8", " p=0.8 ")])
    assert [i.score for i in items] == pytest.approx([0.8, 0.1, 0.8, 0.8])
    assert len(server.requests) == 2


# --- the request ------------------------------------------------------------------------------------------------------


def test_the_request_is_one_greedy_token_in_standard_fields(server: FakeOpenAI) -> None:
    ask(server, groups=[group("p=0.8")])
    (request,) = server.requests
    assert request.pop("messages")[0]["role"] == "user"
    assert request == {"model": "fake", "max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
    assert server.headers[0]["Authorization"] == "Bearer a-secret-key"


def test_control_tokens_of_the_known_templates_do_not_reach_the_server(server: FakeOpenAI) -> None:
    spelled = ["<|im_end|>", "<|eot_id|>", "[/INST]", "<end_of_turn>", "</s>", "<｜Assistant｜>", "<</SYS>>"]
    kept = r"if a < b then |x| < |y| and f[INSTANCE] <sup> \frac{1}{2} {{problem}}"
    ask(server, groups=[group(" ".join(spelled) + kept)])
    text = server.requests[0]["messages"][0]["content"]
    assert not [token for token in spelled if token in text]
    assert kept in text


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=408), Reply(drop=True), Reply(body="not json")])
def test_passing_trouble_is_tried_again(server: FakeOpenAI, reply: Reply) -> None:
    server.script.append(reply)
    (item,) = ask(server, groups=[group("p=0.8")])
    assert item.score == pytest.approx(0.8)
    assert len(server.requests) == 2


def test_retry_after_is_honoured(server: FakeOpenAI) -> None:
    server.script.append(Reply(status=429, headers={"Retry-After": "2"}))
    started = time.monotonic()
    (item,) = ask(server, groups=[group("p=0.8")])
    assert item.score == pytest.approx(0.8)
    assert time.monotonic() - started >= 2


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(server: FakeOpenAI) -> None:
    server.usual = Reply(status=429, headers={"Retry-After": "3600"})
    (item,) = ask(server, groups=[group("p=0.8")])
    assert code(item) == ("judge_unavailable", True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422])
def test_a_request_that_is_refused_is_not_repeated_nor_quoted(server: FakeOpenAI, status: int) -> None:
    server.usual = Reply(status=status, body={"error": {"message": "too long: What is 6 times 7?"}})
    (item,) = ask(server, groups=[group("p=0.8")])
    assert code(item) == ("judge_rejected", False)
    assert str(status) in item.error.message and "6 times 7" not in item.error.message
    assert len(server.requests) == 1


def test_one_bad_call_costs_its_neighbours_nothing(server: FakeOpenAI) -> None:
    server.script.append(Reply(status=400))
    items = ask(server, groups=[group("p=0.8", "p=0.1", "p=0.7")], concurrency=1)
    assert code(items[0]) == ("judge_rejected", False)
    assert [i.score for i in items[1:]] == pytest.approx([0.1, 0.7])


def test_a_server_that_always_fails_makes_the_judge_unavailable(server: FakeOpenAI) -> None:
    server.usual = Reply(status=503)
    items = ask(server, groups=[group("p=0.8", "p=0.1")])
    assert [code(i) for i in items] == [("judge_unavailable", True)] * 2
    assert len(server.requests) == 2 * ROUNDS


def test_nobody_listening_makes_the_judge_unavailable(server: FakeOpenAI) -> None:
    server.stop()
    (item,) = ask(server, groups=[group("p=0.8")])
    assert code(item) == ("judge_unavailable", True)


def test_a_call_ends_at_its_deadline(server: FakeOpenAI) -> None:
    server.latency_s = 5.0
    started = time.monotonic()
    (item,) = ask(server, groups=[group("p=0.8")], call_timeout_s=0.3)
    assert code(item) == ("judge_unavailable", True)
    assert time.monotonic() - started < 4


def test_another_server_takes_over_at_once_and_the_dead_one_is_passed_over(
    server: FakeOpenAI, second: FakeOpenAI
) -> None:
    server.stop()
    groups = [
        Group(id=str(n), problem=f"What is {n} + 1?", reference=f"{n + 1}", candidates=["p=0.8"]) for n in range(20)
    ]
    items = ask(server, second, groups=groups)
    assert [i.score for i in items] == pytest.approx([0.8] * 20)
    assert len(second.requests) == 20


def test_a_hanging_server_leaves_time_for_the_other(server: FakeOpenAI, second: FakeOpenAI) -> None:
    server.latency_s = 5.0
    groups = [Group(id=str(n), problem=f"{n}", reference="r", candidates=["p=0.8"]) for n in range(6)]
    items = ask(server, second, groups=groups, call_timeout_s=2.0)
    assert [i.score for i in items] == pytest.approx([0.8] * 6)


def test_a_groups_candidates_go_to_one_server_and_groups_spread(server: FakeOpenAI, second: FakeOpenAI) -> None:
    groups = [
        Group(id=str(n), problem=f"{n}", reference="r", candidates=[f"p=0.{k}" for k in range(1, 6)]) for n in range(12)
    ]
    ask(server, second, groups=groups)

    def problems(fake: FakeOpenAI) -> set[str]:
        return {r["messages"][0]["content"].split("problem\n")[1].split("\n")[0] for r in fake.requests}

    assert not problems(server) & problems(second)
    assert problems(server) and problems(second)


def test_calls_under_way_are_bounded(server: FakeOpenAI) -> None:
    server.latency_s = 0.02
    items = ask(server, groups=[group(*(f"{n} p=0.8" for n in range(30)))], concurrency=3)
    assert all(isinstance(i, JudgeScored) for i in items)
    assert server.most_at_once == 3


def test_a_server_killed_mid_way_comes_back_and_nothing_is_lost_or_invented(server: FakeOpenAI) -> None:
    server.latency_s = 0.02

    async def run() -> tuple[list[Any], list[Any]]:
        async with opened(server, concurrency=2, call_timeout_s=2.0) as judge:
            texts = [f"{n} p=0.{1 + n % 9}" for n in range(20)]
            asked = asyncio.create_task(judge.score([group(*texts)]))
            await asyncio.sleep(0.1)
            await asyncio.to_thread(server.stop)
            (during,) = await asked
            await asyncio.to_thread(server.start)
            (after,) = await judge.score([group(*texts)])
            return list(during.candidates), list(after.candidates)

    during, after = asyncio.run(run())
    for n, item in enumerate(during):
        if isinstance(item, Failed):
            assert code(item) == ("judge_unavailable", True)
        else:
            assert item.score == pytest.approx((1 + n % 9) / 10)
    assert any(isinstance(i, Failed) for i in during)
    assert [i.score for i in after] == pytest.approx([(1 + n % 9) / 10 for n in range(20)])


def test_leaving_stops_the_calls(server: FakeOpenAI) -> None:
    server.latency_s = 0.05

    async def run() -> None:
        async with opened(server, concurrency=1) as judge:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await judge.score([group(*(f"{n}" for n in range(100)))])

    asyncio.run(run())
    assert len(server.requests) < 20


# --- the scorer's life ------------------------------------------------------------------------------------------------


def test_opening_does_not_need_the_judge_and_work_leaves_a_mark(server: FakeOpenAI) -> None:
    server.stop()

    async def run() -> None:
        async with opened(server) as judge:
            assert judge.last_worked() is None
            await asyncio.to_thread(server.start)
            await judge.score([group("p=0.8")])
            assert judge.last_worked() is not None

    asyncio.run(run())


def test_not_open_or_closed_is_unavailable(server: FakeOpenAI) -> None:
    async def run() -> None:
        async with opened(server) as judge:
            pass
        await judge.close()
        with pytest.raises(ScorerUnavailable):
            await judge.score([group("p=0.8")])

    asyncio.run(run())


def test_a_base_url_that_is_none_is_a_settings_error(server: FakeOpenAI) -> None:
    async def run() -> None:
        async with opened(base_urls=["localhost:8000/v1"]):
            pass

    with pytest.raises(SettingsError, match=r"scorers\.judge\.base_urls"):
        asyncio.run(run())


def test_neither_key_nor_texts_are_shown(server: FakeOpenAI, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.script.extend([Reply(status=500), Reply(status=401)])

    async def run() -> dict[str, Any]:
        async with opened(server) as judge:
            await judge.score([group("an unmistakable candidate p=0.8")])
            return judge.describe()

    described = asyncio.run(run())
    assert described["backend"] == "openai" and described["model"] == "fake" and described["threshold"] == 0.5
    assert described["prompt"] == {"name": "label-v1", "revision": PROMPT.revision}
    shown = caplog.text + repr(described)
    assert "a-secret-key" not in shown and "unmistakable" not in shown and "6 times 7" not in shown
