"""What HTTP, admission and batching across requests add to the real scorers: the same groups through the service and by
direct calls, in turns, on the embedded models in one process."""

import asyncio
import json
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import httpx

from rewright.service.http.app import create_app
from rewright.service.reward.pipeline import reward_groups
from rewright.service.schema import Group, Rule
from rewright.service.scorers.base import Scorers
from rewright.service.settings import CacheSettings, Settings
from rewright.service.wiring import opened_scorers

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "groups.json"
ROUNDS = 3


def overhead() -> None:
    asyncio.run(_overhead())


async def _overhead() -> None:
    import uvicorn

    groups = json.loads(EXAMPLES.read_text(encoding="utf-8"))["groups"]
    settings = Settings(deadline_s=3600, cache=CacheSettings(entries=0))
    candidates = sum(len(group["candidates"]) for group in groups)
    async with opened_scorers(settings) as scorers:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            config = uvicorn.Config(create_app(settings, scorers), log_level="warning")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            direct, served = await _in_turns(url, groups, scorers)
            server.should_exit = True
            await serving
    ours, theirs = statistics.median(served), statistics.median(direct)
    print(
        f"overhead {candidates} candidates on the embedded models: {theirs:.2f} s by direct calls, {ours:.2f} s "
        f"through the service ({(ours / theirs - 1) * 100:+.1f} %, medians of {ROUNDS}); "
        f"least {min(direct):.2f} and {min(served):.2f} s"
    )


async def _in_turns(url: str, groups: list[dict[str, Any]], scorers: Scorers) -> tuple[list[float], list[float]]:
    """Seconds by direct calls, and through the service."""
    direct: list[float] = []
    served: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=600) as client:
        for _ in range(ROUNDS):
            began = time.monotonic()
            await reward_groups([Group(**group) for group in groups], Rule(), scorers)
            middle = time.monotonic()
            (await client.post("/v1/reward", json={"groups": groups})).raise_for_status()
            direct.append(middle - began)
            served.append(time.monotonic() - middle)
    return direct, served
