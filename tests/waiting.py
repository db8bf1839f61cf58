"""Waiting for what another thread or process does. The patience is a backstop and decides nothing: whatever is waited
for here happens on any machine, and a test that waits in vain has failed.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 120.0
_EVERY_S = 0.01


def until(holds: Callable[[], object], *, hint: Callable[[], object] = lambda: "") -> None:
    """Returns once `holds()` is true. Raises `AssertionError` with `hint()` when the patience is at its end."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"it did not come to pass {hint()}"
        time.sleep(_EVERY_S)


async def until_so(holds: Callable[[], object]) -> None:
    """`until` on an event loop that must go on meanwhile."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(_EVERY_S)
