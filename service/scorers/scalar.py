"""A ready base for scorers that give one number per candidate: what is left to write is the number.

    class Readability(ScalarScorer):
        async def numbers(self, group: Group) -> Sequence[float | Failed]:
            return [readability_of(text) for text in group.candidates]

Not covered: loading in `open`, queues and batches. A scorer with a model on a device overrides `open` and `close`, and
puts `rewright.service.core.batcher.Batcher` between its callers and the device, as the NLL does.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from rewright.service.schema import LARGEST_SCORE, NOT_FINITE, Failed, Group, GroupScores, ScalarScored
from rewright.service.scorers.spec import ScorerSpec


class ScalarScorer(ABC):
    """`Scorer` over `numbers`. spec: the scorer's own, whose item is `ScalarScored`."""

    def __init__(self, spec: ScorerSpec) -> None:
        self.name = spec.name
        self._group = spec.group
        self._last_worked: float | None = None

    @abstractmethod
    async def numbers(self, group: Group) -> Sequence[float | Failed]:
        """One finite number per candidate, in order, at most `LARGEST_SCORE` either way; `Failed` where there is none.

        Where the number counts in a reward, the codes `blank`, `too_long` and `control_tokens` say that it is the
        candidate's own doing, and shut its gate; with any other code the candidate has no reward.

        Long work belongs into a thread or a batcher: this runs on the event loop that answers everybody. Raises
        `ScorerUnavailable` or `Overloaded` for trouble of the whole scorer.
        """

    def describe(self) -> dict[str, Any]:
        """All that a number depends on (model, revision, version): part of `served_by` and of cache keys."""
        return {}

    async def open(self) -> None:  # noqa: B027 - a scorer without a model has nothing to do here
        """Nothing to load."""

    async def close(self) -> None:  # noqa: B027
        """Nothing to give back."""

    def last_worked(self) -> float | None:
        return self._last_worked

    async def score(self, groups: Sequence[Group]) -> list[GroupScores[Any]]:
        """One result per group in order; a number out of that range becomes a failure, never a score."""
        results = [self._result(group, await self.numbers(group)) for group in groups]
        self._last_worked = time.monotonic()
        return results

    def _result(self, group: Group, numbers: Sequence[float | Failed]) -> GroupScores[Any]:
        items = [_item(number) for number in numbers]
        return self._group.model_validate({"id": group.id or "", "candidates": items})


def _item(number: float | Failed) -> ScalarScored | Failed:
    if isinstance(number, Failed):
        return number
    if not abs(number) <= LARGEST_SCORE:  # NaN is not
        message = f"the scorer gave a number that is not finite, or beyond ±{LARGEST_SCORE:g}"
        return Failed.because(NOT_FINITE, message, retryable=False)
    return ScalarScored(score=float(number))
