"""Several coroutines at once; when one fails, all end."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any


async def run_all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Await all; the first that raises cancels the others and is raised as it is, not in a group of exceptions."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
