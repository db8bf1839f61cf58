"""The gated reward as one TRL reward function (TRL 1.16, `GRPOTrainer` and `experimental.async_grpo`).

    rewards = RewardFunction("http://127.0.0.1:8000", num_generations=config.num_generations)
    trainer = GRPOTrainer(model, reward_funcs=rewards, args=config, train_dataset=dataset)

The dataset needs the columns `problem` and `reference`, and may have `answer`. Returned are the totals of eq. 3, and
None for what could not be scored: TRL leaves such a row out of its group's baseline and gives it advantage 0. The total
is gated, so it must come from this one function; TRL would add several functions up.

A call sees this process's slice alone. Its groups must be whole, which TRL does not check; a partial one is an error
that names the setting. While the service is away the call waits, and with it training, up to `patience_s` since the
service last settled a group; then it raises, which ends `trainer.train()`. The checkpoint is the trainer's business.

Picklable, and no connection outlives its call, so that it may run in a spawned child or in a new event loop each step.
TRL is not imported.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewright.clients.adapters.groups import Rollout, whole_groups
from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.reward_statistics import AnyCandidate, AnyRewardGroup, outcome, statistics_of
from rewright.clients.transport.batches import parsed_rule
from rewright.clients.transport.scoring_call import AWAY, retryable_codes
from rewright.clients.transport.unanswered import UnansweredRewardGroup
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from rewright.service.schema import Rule

PREFIX = "rewright/"
FIX = (
    "make per_device_train_batch_size * steps_per_generation % num_generations == 0, so that every process holds whole "
    "groups (in evaluation per_device_eval_batch_size % num_generations == 0, with num_generations_eval left at "
    "num_generations), and give RewardFunction the trainer's own num_generations"
)
_COLUMNS = ("v_ans", "v_rea", "r_task", "nll", "nll_z", "r_dist", "r_div")

Messages = Sequence[Mapping[str, Any]]


class RewardFunction:
    """num_generations: TRL's own, K; rule: λs and variant (eq. 3); patience_s: see the module.

    whole_groups: when one member of a group could not be scored, give the whole group None instead of comparing the
    others among themselves. Other options are those of `AsyncRewardClient`.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        num_generations: int,
        rule: Rule | Mapping[str, Any] | None = None,
        patience_s: float = 600.0,
        whole_groups: bool = False,
        name: str = "rewright",
        **client_options: Any,
    ) -> None:
        if num_generations < 1:
            raise InvalidRequest(f"num_generations must be at least 1, not {num_generations}")
        self.__name__ = name
        self._num_generations = num_generations
        self._rule = parsed_rule(rule)
        self._whole_groups = whole_groups
        self._patience_s = patience_s
        self._client_options = client_options | {"base_urls": base_urls, "deadline_s": None, "patience_s": patience_s}
        self._client = AsyncRewardClient(**self._client_options)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._client = AsyncRewardClient(**self._client_options)

    async def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[str | Messages],
        problem: Sequence[str] | None = None,
        reference: Sequence[str] | None = None,
        answer: Sequence[str | None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """One total per completion, in order; None where there is none.

        Raises `PartialGroup`, `InvalidRequest`, and errors of `rewright.service.errors` for a service that is away for
        longer than the patience, or that refuses.
        """
        problems, references = _column("problem", problem), _column("reference", reference)
        answers: Sequence[str | None] = answer if answer is not None else [None] * len(completions)
        rollouts = [
            Rollout(key=(_frozen(p), x, y, a), problem=x, reference=y, answer=a, candidate=text_of(c))
            for p, x, y, a, c in zip(prompts, problems, references, answers, completions, strict=True)
        ]
        grouping = whole_groups(rollouts, num_generations=self._num_generations, fix=FIX)
        started = time.monotonic()
        # Simultaneous calls share connections; the last closes them, since the next call may come on another loop.
        async with self._client:
            scores = await self._client.reward(grouping.groups, rule=self._rule)
        self._refuse_absence(scores.groups)
        items: list[AnyCandidate] = grouping.flat([group.candidates for group in scores.groups])
        totals = grouping.flat([self._totals(group) for group in scores.groups])
        if log_metric is not None:
            numbers = statistics_of(scores.groups) | {
                "without_reward": sum(total is None for total in totals) / len(totals),
                "seconds_waited": time.monotonic() - started,
            }
            for metric, value in numbers.items():
                log_metric(PREFIX + metric, value)
        if log_extra is not None:
            log_extra("outcome", [outcome(item) for item in items])
            for column in _COLUMNS:
                log_extra(column, [getattr(item, column) for item in items])
            for signal in ("n_tokens", "length_ratio", "repeated", "copied"):
                log_extra(signal, [getattr(item.signals, signal, None) for item in items])
        return totals

    def _totals(self, group: AnyRewardGroup) -> list[float | None]:
        if self._whole_groups and group.failed:
            return [None] * len(group.candidates)
        return [item.total for item in group.candidates]

    def _refuse_absence(self, groups: Sequence[AnyRewardGroup]) -> None:
        """Raise where the service, or a scorer that this step needed, stayed away for longer than the patience.

        One text that its judge cannot take must not end training, so a scorer that worked for others is not away.
        """
        within = f"within the patience of {self._patience_s:g} s"
        lost = next((g for g in groups if isinstance(g, UnansweredRewardGroup)), None)
        if lost is not None:
            raise DeadlineExceeded(
                f"the service did not answer every group {within}: {lost.candidates[0].error.message}"
            )
        away = {code for group in groups for code in retryable_codes(group) if code in AWAY}
        items: list[AnyCandidate] = [item for group in groups for item in group.candidates]
        opened = any(item.gate == "open" for item in items)
        judged = any(item.v_rea is not None for item in items)
        if away and not opened and not (judged and away == {"judge_unavailable"}):
            raise ScorerUnavailable(
                f"no candidate of this step could be scored in full {within}: {', '.join(sorted(away))}"
            )


def text_of(completion: str | Messages) -> str:
    """The candidate's text: the completion itself, or its last assistant message."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(str(part.get("text", "")) for part in content if part.get("type") == "text")
            return content or ""
    return ""


def _column(name: str, values: Sequence[str] | None) -> Sequence[str]:
    if values is None:
        raise InvalidRequest(
            f"the dataset has no column {name!r}; the reward needs `problem` and `reference` (and takes `answer`). "
            "Is remove_unused_columns on?"
        )
    odd = next((row for row, value in enumerate(values) if not isinstance(value, str)), None)
    if odd is not None:
        raise InvalidRequest(f"column {name!r} holds no text in row {odd}")
    return values


def _frozen(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else repr(prompt)
