"""The reward for slime (0.3.1; `slime/rollout/rm_hub`), which hands over whole groups.

`rewright_slime.py`, named by `--group-rm --custom-rm-path rewright_slime.reward`:

    from rewright.clients.adapters.slime import group_reward
    reward = group_reward("http://127.0.0.1:8000")

`--metadata-key` names a column of JSON objects with `problem` and `reference` or `answer`.

**No reward:** slime has no channel for it in its group's mean, so all members get one reward, `NEUTRAL`: advantage 0.
A service that is away for longer than `patience_s` raises, which ends the rollout. With `--reward-key KEY` rewards are
objects with `KEY` and the components; they are in `sample.metadata["rewright"]` either way. slime is not imported.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rewright.clients.adapters.one_group import OneGroup
from rewright.clients.adapters.one_member import NEUTRAL
from rewright.clients.adapters.samples import sample_of
from rewright.service.errors import InvalidRequest


def group_reward(base_urls: str | Sequence[str], **options: Any) -> Callable[..., Awaitable[Any]]:
    """An async function `(args, samples)` for `--custom-rm-path`. Options are those of `OneGroup`.

    It answers one reward per sample, in order; one reward for a lone sample, as slime's evaluation asks for.
    """
    groups = OneGroup(base_urls, **options)

    async def reward(args: Any, samples: Any, **_: Any) -> Any:
        members = samples if isinstance(samples, list) else [samples]
        if any(isinstance(member, list) for member in members):
            raise InvalidRequest("samples: one rollout came as several samples; the reward needs one text a rollout")
        told = [sample_of(member.metadata, "metadata") for member in members]
        if odd := next((place for place, one in enumerate(told) if one != told[0]), None):
            raise InvalidRequest(f"samples: number {odd} is of another problem; is --group-rm on?")
        rewarded = await groups.reward(told[0], [member.response for member in members], where="metadata")
        totals = rewarded.totals or [NEUTRAL] * len(members)
        for member, logs in zip(members, rewarded.logs, strict=True):
            member.metadata["rewright"] = logs
        key = getattr(args, "reward_key", None)
        rewards = [{**logs, key: total} if key else total for total, logs in zip(totals, rewarded.logs, strict=True)]
        return rewards if isinstance(samples, list) else rewards[0]

    return reward
