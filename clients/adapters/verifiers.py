"""The reward for environments of verifiers (0.4.0, v1) and prime-rl, whose episodes hold all attempts at a task.

    REWARDS = EpisodeRewards("http://127.0.0.1:8000")

    class RewriteEnv(BestOfNEnv):
        async def finalize(self, task, episode):
            await REWARDS(task, episode)

`task.data` has `problem` and `reference` or `answer`. Each trace gets the reward `rewright` and its components as
metrics; a task's own rewards would be added to a gated total, so let it have none.

**No reward:** `NoReward` is raised, which fails the episode: verifiers tries it again (`--env.retries`). Its traces are
marked as failed, which prime-rl leaves out; the good traces of a failed episode it would train on, with reward 0.
So it is for a service that is away for longer than `patience_s`. Verifiers is not imported.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.clients.adapters.one_group import OneGroup
from rewright.clients.adapters.samples import mapped_columns, sample_of
from rewright.service.errors import InvalidRequest, RewrightError, ServiceError

NAME = "rewright"


class NoReward(ServiceError):
    """A member of the episode could not be scored, so that none has a reward."""

    code = "no_reward"
    status = 503


class EpisodeRewards:
    """columns: names of the task's fields, where they are not `problem`, `reference` and `answer`.

    Other options are those of `OneGroup`.
    """

    def __init__(
        self, base_urls: str | Sequence[str], *, columns: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        self._columns = mapped_columns(columns)
        self._groups = OneGroup(base_urls, **options)

    async def __call__(self, task: Any, episode: Any) -> None:
        """Record the rewards of all traces of an episode.

        Raises `NoReward`, `InvalidRequest` where traces have rewards already, and what `OneGroup.reward` does.
        """
        if own := next((name for trace in episode.traces for name in trace.rewards if name != NAME), None):
            raise InvalidRequest(
                f"the task's own reward {own!r} would be added to a gated total; let the task have none"
            )
        try:
            await self._reward(task, episode)
        except RewrightError:
            for trace in episode.traces:
                trace.ok = False
            raise

    async def _reward(self, task: Any, episode: Any) -> None:
        sample = sample_of(task.data.model_dump(), "task.data", columns=self._columns)
        rewarded = await self._groups.reward(sample, [trace.last_reply for trace in episode.traces], where="task.data")
        for trace, logs in zip(episode.traces, rewarded.logs, strict=True):
            trace.record_metrics({f"{NAME}/{key}": value for key, value in logs.items() if not math.isnan(value)})
        if rewarded.totals is None:
            raise NoReward("an attempt of this episode could not be scored; the service's log says why")
        for trace, total in zip(episode.traces, rewarded.totals, strict=True):
            trace.record_reward(NAME, total)
