"""The openai judge against real HTTP servers that fail, hang, refuse, die and come back; and the scorer's life."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from rewright.service.backoff import Backoff
from rewright.service.errors import ScorerUnavailable, SettingsError
from rewright.service.schema import Failed, Group, JudgeScored
from rewright.service.scorers.judge import chat_endpoints
from rewright.service.scorers.judge.chat_endpoints import ROUNDS
from tests.fake_openai import FakeOpenAI, Reply, fake_openai
from tests.plain_scorers import NEVER
from tests.service.scorers.judge.openai_judge import PROMPT, ask, code, group, opened
from tests.waiting import until_so


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


@pytest.fixture
def second() -> Iterator[FakeOpenAI]:
    with fake_openai() as fake:
        yield fake


# --- trouble ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", [Reply(status=500), Reply(status=408), Reply(drop=True), Reply(body="not json")])
def test_passing_trouble_is_tried_again(server: FakeOpenAI, reply: Reply) -> None:
    server.script.append(reply)
    (item,) = ask(server, groups=[group("p=0.8")])
    assert item.score == pytest.approx(0.8)
    assert len(server.requests) == 2


def test_retry_after_is_honoured(server: FakeOpenAI) -> None:
    server.script.append(Reply(status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    (item,) = ask(server, groups=[group("p=0.8")])
    assert item.score == pytest.approx(0.8)
    assert time.monotonic() - started >= 1


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(server: FakeOpenAI) -> None:
    server.usual = Reply(status=429, headers={"Retry-After": "3600"})
    (item,) = ask(server, groups=[group("p=0.8")])
    assert code(item) == ("judge_unavailable", True)
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
    server.latency_s = NEVER
    (item,) = ask(server, groups=[group("p=0.8")], call_timeout_s=0.3)
    assert code(item) == ("judge_unavailable", True)


def test_another_server_takes_over_at_once_and_the_dead_one_is_passed_over(
    server: FakeOpenAI, second: FakeOpenAI
) -> None:
    server.stop()
    groups = [
        Group(
            id=str(n),
            problem=f"What is {n} + 1?",
            reference=f"{n + 1}",
            candidates=["p=0.8 by adding one"],
        )
        for n in range(20)
    ]
    items = ask(server, second, groups=groups)
    assert [i.score for i in items] == pytest.approx([0.8] * 20)
    assert len(second.requests) == 20


def test_a_hanging_server_leaves_time_for_the_other(server: FakeOpenAI, second: FakeOpenAI) -> None:
    server.latency_s = NEVER
    groups = [Group(id=str(n), problem=f"{n}", reference="r", candidates=["p=0.8 by adding one"]) for n in range(6)]
    items = ask(server, second, groups=groups, call_timeout_s=4.0)
    assert [i.score for i in items] == pytest.approx([0.8] * 6)


def test_a_groups_candidates_go_to_one_server_and_groups_spread(server: FakeOpenAI, second: FakeOpenAI) -> None:
    groups = [
        Group(id=str(n), problem=f"{n}", reference="r", candidates=[f"p=0.{k} by adding one" for k in range(1, 6)])
        for n in range(12)
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


def test_a_server_killed_mid_way_comes_back_and_nothing_is_lost_or_invented(
    server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_endpoints, "PAUSE", Backoff(first_s=0.01, longest_s=0.01))
    server.latency_s = 0.02

    async def run() -> tuple[list[Any], list[Any]]:
        async with opened(server, concurrency=2) as judge:
            texts = [f"{n} p=0.{1 + n % 9}" for n in range(20)]
            asked = asyncio.create_task(judge.score([group(*texts)]))
            await until_so(lambda: len(server.requests) > 4)
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
            asked = asyncio.create_task(judge.score([group(*(f"{n}" for n in range(100)))]))
            await until_so(lambda: server.requests)
            asked.cancel()
            await asyncio.wait([asked])
            assert asked.cancelled()

    asyncio.run(run())
    assert len(server.requests) < 100


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
