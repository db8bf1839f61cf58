"""An openai judge on fake servers, opened and asked in one line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rewright.service.schema import Failed, Group
from rewright.service.scorers.judge.openai_backend import OpenAIJudge
from rewright.service.scorers.judge.prompt import JudgePrompt
from tests.fake_openai import FakeOpenAI

PROMPT = JudgePrompt.load("label-v1")


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
    """Each candidate before a few words of reasoning; a blank one stays blank."""
    said = [f"{text.rstrip()} as six sevens make that many" if text.strip() else text for text in candidates]
    return Group(id=id, problem="What is 6 times 7?", reference="6 * 7 = 42.", candidates=said)


def ask(*servers: FakeOpenAI, groups: list[Group], **changed: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with opened(*servers, **changed) as judge:
            return [item for result in await judge.score(groups) for item in result.candidates]

    return asyncio.run(run())


def code(item: Any) -> tuple[str, bool]:
    assert isinstance(item, Failed)
    return item.error.code, item.error.retryable
