"""The reward as a workflow of AReaL (1.0.4, `areal.workflow.rlvr`).

`rewright_areal.py`, named by `workflow="rewright_areal.Workflow"`, with the `workflow_kwargs` of RLVRWorkflow but for
`reward_fn`:

    from rewright.clients.adapters.areal import workflow
    Workflow = workflow("http://127.0.0.1:8000")

Rows have `problem` and `reference` or `answer` beside `messages`. A `reward_fn` cannot give this reward: it runs in a
small pool of processes, where waiting members keep their siblings out, and after 15 s AReaL makes it 0. So the
workflow asks the service itself, where the `gconfig.n_samples` members of a group meet.

**No reward:** the trajectory is None, AReaL's own word for "rejected"; where one member has none, all its group is. A
service that is away for longer than `patience_s` raises, which AReaL logs, counts as rejected, and goes on from: watch
`rollout/rejected`. Components go to `stats_tracker`. AReaL is not imported before `workflow` is called.
"""

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.clients.adapters.one_member import OneMember
from rewright.clients.adapters.samples import mapped_columns, sample_of


class _NoReward(Exception):
    """Ends an episode whose group has no reward."""


def workflow(base_urls: str | Sequence[str], *, columns: Mapping[str, str] | None = None, **options: Any) -> Any:
    """A class for AReaL's `workflow`. Options are those of `OneMember`.

    columns: names of a row's fields, where they are not `problem`, `reference` and `answer`.
    """
    from areal import workflow_context
    from areal.utils import stats_tracker
    from areal.workflow.rlvr import RLVRWorkflow

    names = mapped_columns(columns)

    class Rewright(RLVRWorkflow):  # type: ignore[misc]
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__("", *given, **more)
            # A string would be imported at the first episode.
            self.reward_fn = None
            self._members = OneMember(base_urls, **options)
            self._own = uuid.uuid4().hex

        async def _compute_rewards(self, resp: Any, prompt_str: str, task_data: dict[str, Any]) -> float:
            text = self.tokenizer.decode(resp.output_tokens, skip_special_tokens=True)
            rewarded = await self._members.reward(
                sample_of(task_data, "data", columns=names),
                text,
                # Members of a group share one object, which lives until the last of them ends.
                group=f"{self._own} {id(task_data)}",
                size=int(self.gconfig.n_samples),
                member=uuid.uuid4().hex,
                again=True,
            )
            known = {name: value for name, value in rewarded.logs.items() if not math.isnan(value)}
            stats_tracker.get(workflow_context.stat_scope()).scalar(**known)
            if rewarded.logs["neutral"]:
                raise _NoReward
            return rewarded.total

        async def arun_episode(self, engine: Any, data: dict[str, Any]) -> Any:
            """As AReaL's own; None where the group has no reward."""
            try:
                return await super().arun_episode(engine, data)
            except _NoReward:
                return None

    return Rewright
