"""Whether this process can score: real work lately, or else a micro-score, by every local scorer.

A timestamp alone would lie when nothing arrives, and a ping would lie when the worker thread is dead; so a scorer that
has been idle for a while is given one tiny group and must score it. Remote scorers are not asked: their death shows in
`/v1/info`, in metrics and as `failed` items, and does not take this process away.
"""

import asyncio
import time
from typing import Any

from rewright.service.errors import Overloaded, RewrightError
from rewright.service.schema import Failed
from rewright.service.scorers.base import Scorer, Scorers
from rewright.service.scorers.probe import probe

PROBE_TIMEOUT_S = 20.0


class Readiness:
    """Answers `/readyz`. A scorer counts as well if it finished work less than `probe_after_s` seconds ago."""

    def __init__(self, scorers: Scorers, *, probe_after_s: float) -> None:
        self._local = [s for s in scorers if s.name in scorers.local]
        self._probe_after_s = probe_after_s
        self._probing = asyncio.Lock()

    async def troubles(self) -> dict[str, str]:
        """Each local scorer that is not well, and why; empty when ready."""
        async with self._probing:
            found = await asyncio.gather(*(self._trouble(s) for s in self._local))
        return {s.name: why for s, why in zip(self._local, found, strict=True) if why is not None}

    async def _trouble(self, scorer: Scorer[Any]) -> str | None:
        worked = scorer.last_worked()
        if worked is not None and time.monotonic() - worked < self._probe_after_s:
            return None
        before = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                (result,) = await scorer.score([probe()])
        except TimeoutError:
            # Deep in a queue is not dead: what counts is whether anything was finished meanwhile.
            worked = scorer.last_worked()
            return None if worked is not None and worked >= before else f"no answer in {PROBE_TIMEOUT_S:.0f} s"
        except Overloaded as full:
            # A full queue is no sickness, as long as the worker that empties it lives.
            return None if scorer.last_worked() is not None else full.message
        except RewrightError as trouble:
            return trouble.message
        except Exception as error:
            return f"it raised {type(error).__name__}"
        item = result.candidates[0]
        return item.error.message if isinstance(item, Failed) else None
