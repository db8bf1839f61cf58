"""The reward for trainers that call sync functions: TRL 0.18 to 1.15 (Unsloth, Axolotl) and ms-swift 4.6.

    rewards = BlockingRewardFunction("http://127.0.0.1:8000", num_generations=8)
    trainer = GRPOTrainer(model, reward_funcs=[rewards], …)

They call `f(prompts=…, completions=…, **columns)`, ms-swift `f(completions, **columns)` with `prompt_id`; a coroutine
is never awaited there, or runs in a new loop each step.

**No reward.** Their sum over functions (`nansum`) counts None as 0.0, and of four members the one that could not be
scored would be punished hardest. So one failed member takes its whole group out: None for all of it, which they count
as equal rewards, advantage 0. This holds for advantages that are taken within groups; ms-swift's `scale_rewards=gdpo`
subtracts a mean of the batch afterwards. Nothing scored at all, or a service away for longer than `patience_s`, raises
and ends training; the last checkpoint stands. The policy is logged once, at the first call.

Components go to `log_metric` and `log_extra` where the trainer has them, else to `on_metrics`, else to the log.
Picklable; threads and connections are of the process that calls.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewright.clients.adapters.trl import RewardFunction
from rewright.clients.transport.background_loop import BackgroundLoop
from rewright.service.errors import InvalidRequest

log = logging.getLogger(__name__)
POLICY = "where one member of a group has no reward, the whole group has none: equal rewards, advantage 0"


class BlockingRewardFunction:
    """As `RewardFunction`, for sync callers, with `whole_groups` always on.

    on_metrics: told the numbers of each call by name, such as `wandb.log`, where the trainer gives no `log_metric`.
    Other options are those of `RewardFunction`.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        num_generations: int,
        on_metrics: Callable[[Mapping[str, float]], None] | None = None,
        **options: Any,
    ) -> None:
        if not options.setdefault("whole_groups", True):
            raise InvalidRequest(f"whole_groups cannot be off here: {POLICY}")
        self._rewards = RewardFunction(base_urls, num_generations=num_generations, **options)
        self.__name__ = self._rewards.__name__
        self._on_metrics = on_metrics
        self._told = False
        self._loop = BackgroundLoop()

    def __call__(
        self,
        completions: Sequence[Any] | None = None,
        prompts: Sequence[Any] | None = None,
        **given: Any,
    ) -> list[float | None]:
        """One total per completion, in order; None for whole groups. Errors are those of `RewardFunction`.

        completions may be the first positional argument, as in ms-swift, or a keyword. A group's key is its prompt, or
        `prompt_id` where the trainer gives one.
        """
        if completions is None:
            raise InvalidRequest("completions: missing; the trainer gives one per row")
        if not self._told:
            self._told = True
            log.info("%s: %s", self.__name__, POLICY)
        keys = given.get("prompt_id", prompts)
        if keys is None:
            raise InvalidRequest("neither prompts nor prompt_id is given; one of them says which rows are a group")
        numbers: dict[str, float] = {}
        own = given.pop("log_metric", None)
        totals = self._loop.run(
            self._rewards(
                prompts=keys,
                completions=completions,
                log_metric=own if own is not None else numbers.__setitem__,
                **given,
            )
        )
        if numbers and self._on_metrics is not None:
            self._on_metrics(numbers)
        elif numbers:
            log.info("%s", " ".join(f"{name}={value:.4g}" for name, value in numbers.items()))
        return totals

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_loop"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._loop = BackgroundLoop()


def ms_swift_reward(base_urls: str | Sequence[str], **options: Any) -> type:
    """A class for ms-swift's table: `orms["rewright"] = ms_swift_reward("http://127.0.0.1:8000")`.

    `num_generations` is read from the trainer's arguments, unless it is among the options.
    """

    class RewrightReward(BlockingRewardFunction):
        def __init__(self, args: Any = None, **_: Any) -> None:
            number = options.get("num_generations", getattr(args, "num_generations", None))
            if number is None:
                raise InvalidRequest("num_generations: the trainer's arguments have none; give it to ms_swift_reward")
            super().__init__(base_urls, **{**options, "num_generations": number})

    return RewrightReward
