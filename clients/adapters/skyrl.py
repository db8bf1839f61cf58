"""The reward as a generator of SkyRL (0.4.0, `skyrl.train.generators.skyrl_gym_generator`).

    class Experiment(BasePPOExp):
        def get_generator(self, cfg, tokenizer, inference_engine_client):
            generator = rewarded("http://127.0.0.1:8000", SkyRLGymGenerator)
            return generator(generator_cfg=cfg.generator, skyrl_gym_cfg=cfg.environment.skyrl_gym,
                             inference_engine_client=inference_engine_client, tokenizer=tokenizer)

Rows have `env_class: "rewright"` and the columns `problem` and `reference` or `answer`. An environment cannot give this
reward itself: its `step` runs on one of 32 threads, where waiting members keep their siblings out. So trajectories are
rewarded when all of a batch are written, group by group (`instance_id`).

**No reward:** all members of the group get `NEUTRAL` and a loss mask of zeros: advantage 0, and nothing trained on. A
service that is away for longer than `patience_s` raises. Components are means in `rollout_metrics`. SkyRL is not
imported before `rewarded` is called.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewright.clients.adapters.one_group import GroupReward, OneGroup
from rewright.clients.adapters.one_member import NEUTRAL
from rewright.clients.adapters.samples import mapped_columns, sample_of
from rewright.service.errors import InvalidRequest

ENVIRONMENT = "rewright"


def rewarded(
    base_urls: str | Sequence[str], generator: type, *, columns: Mapping[str, str] | None = None, **options: Any
) -> Any:
    """A subclass of SkyRL's generator whose trajectories have rewards. Options are those of `OneGroup`.

    columns: names of a row's fields, where they are not `problem`, `reference` and `answer`.
    """
    import skyrl_gym

    names = mapped_columns(columns)
    if ENVIRONMENT not in skyrl_gym.registry:
        skyrl_gym.register(id=ENVIRONMENT, entry_point=_silent_environment())

    class Rewarded(generator):  # type: ignore[misc]
        def __init__(self, *given: Any, **more: Any) -> None:
            super().__init__(*given, **more)
            self._groups = OneGroup(base_urls, **options)

        async def generate(self, input_batch: Any, disable_tqdm: bool = False) -> Any:
            """As SkyRL's own, with one reward per trajectory."""
            if input_batch.get("trajectory_ids") is None:
                raise InvalidRequest("trajectory_ids: missing; the reward needs them to find a trajectory's group")
            output = await super().generate(input_batch, disable_tqdm)
            if output.get("is_last_step") is not None:
                raise InvalidRequest("generator.step_wise_trajectories: must be off; a rewrite is one turn")
            groups: dict[str, list[int]] = {}
            for place, identity in enumerate(input_batch["trajectory_ids"]):
                groups.setdefault(identity.instance_id, []).append(place)
            told = await asyncio.gather(*(self._rewarded(input_batch, output, places) for places in groups.values()))
            _place(output, list(groups.values()), told)
            return output

        async def _rewarded(self, batch: Any, output: Any, places: list[int]) -> GroupReward:
            where = f"env_extras of instance {batch['trajectory_ids'][places[0]].instance_id}"
            sample = sample_of(batch["env_extras"][places[0]], where, columns=names)
            texts = [self.tokenizer.decode(output["response_ids"][place], skip_special_tokens=True) for place in places]
            return await self._groups.reward(sample, texts, where=where)

    return Rewarded


def _place(output: Any, groups: list[list[int]], told: list[GroupReward]) -> None:
    """Rewards, masks and metrics into SkyRL's output."""
    rewards = [NEUTRAL] * len(output["response_ids"])
    numbers: dict[str, list[float]] = {}
    for places, group in zip(groups, told, strict=True):
        for place, total, logs in zip(places, group.totals or [NEUTRAL] * len(places), group.logs, strict=True):
            rewards[place] = total
            for name, value in logs.items():
                numbers.setdefault(name, []).append(value)
        if group.totals is None:
            for place in places:
                output["loss_masks"][place] = [0] * len(output["loss_masks"][place])
    output["rewards"] = rewards
    known = {name: [value for value in values if not math.isnan(value)] for name, values in numbers.items()}
    means = {f"rewright/{name}": sum(values) / len(values) for name, values in known.items() if values}
    output["rollout_metrics"] = {**(output.get("rollout_metrics") or {}), **means}


def _silent_environment() -> type:
    """An environment of one turn that says nothing and rewards nothing."""
    from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

    class Silent(BaseTextEnv):  # type: ignore[misc]
        def __init__(self, env_config: Any = None, extras: Any = None) -> None:
            super().__init__()

        def step(self, action: str) -> Any:
            """The end."""
            return BaseTextEnvStepOutput(observations=[], reward=0.0, done=True, metadata={})

    return Silent
