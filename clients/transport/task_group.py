"""Several pieces of work side by side, ended together."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def run_all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Await all; the first that raises cancels the others and is raised itself, plainly."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
