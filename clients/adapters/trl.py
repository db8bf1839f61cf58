"""The gated reward as one TRL reward function (TRL 1.16, `GRPOTrainer` and `experimental.async_grpo`).

    rewards = RewardFunction("http://127.0.0.1:8000", num_generations=config.num_generations)
    trainer = GRPOTrainer(model, reward_funcs=rewards, args=config, train_dataset=dataset)

The dataset needs the columns that `/v1/info` names: `problem` and `reference`, and perhaps `answer`, which alone is
enough where no judge is asked. Returned are the totals of eq. 3, and None for what could not be scored: TRL leaves such
a row out of its group's baseline and gives it advantage 0. The total is gated, so it must come from this one function;
TRL would add several functions up.

A call sees this process's slice alone. Its groups must be whole, which TRL does not check; a partial one is an error
that names the setting. While the service is away the call waits, and with it training, up to `patience_s` since the
service last settled a group; then it raises, which ends `trainer.train()`. So does a call in which nothing at all could
be scored, whatever the reason. The checkpoint is the trainer's business.

Picklable, and no connection outlives its call, so that it may run in a spawned child or in a new event loop each step.
TRL is not imported.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewright.clients.adapters.groups import Rollout, whole_groups
from rewright.clients.adapters.samples import FirstCheck, mapped_columns, sample_of
from rewright.clients.http_client import AsyncRewardClient
from rewright.clients.reward_statistics import AnyCandidate, AnyRewardGroup, outcome, statistics_of
from rewright.clients.transport.batches import parsed_rule, text_trouble
from rewright.clients.transport.errors import SERVICES_OWN
from rewright.clients.transport.scoring_call import AWAY, retryable_codes
from rewright.clients.transport.unanswered import UnansweredRewardGroup
from rewright.service.errors import DeadlineExceeded, InvalidRequest, ScorerUnavailable
from rewright.service.schema import Group, RewardScored, Rule

log = logging.getLogger(__name__)

PREFIX = "rewright/"
FIX = (
    "make per_device_train_batch_size * steps_per_generation % num_generations == 0, so that every process holds whole "
    "groups (in evaluation per_device_eval_batch_size % num_generations == 0, with num_generations_eval left at "
    "num_generations), and give RewardFunction the trainer's own num_generations"
)
SHORTEST_TRY_S = 1.0
"""Less of the patience than this is not worth another round."""
_COLUMNS = ("v_ans", "v_rea", "r_task", "nll", "nll_z", "r_dist", "r_div")

Messages = Sequence[Mapping[str, Any]]


class RewardFunction:
    """num_generations: TRL's own, K; rule: λs and variant (eq. 3); patience_s: see the module.

    whole_groups: when one member of a group could not be scored, give the whole group None instead of comparing the
    others among themselves. columns: names of the data set's columns, where they are not `problem`, `reference` and
    `answer`. Other options are those of `AsyncRewardClient`.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        num_generations: int,
        rule: Rule | Mapping[str, Any] | None = None,
        patience_s: float = 600.0,
        whole_groups: bool = False,
        columns: Mapping[str, str] | None = None,
        name: str = "rewright",
        **client_options: Any,
    ) -> None:
        if num_generations < 1:
            raise InvalidRequest(f"num_generations must be at least 1, not {num_generations}")
        self._columns = mapped_columns(columns)
        self.__name__ = name
        self._num_generations = num_generations
        self._rule = parsed_rule(rule)
        self._whole_groups = whole_groups
        self._patience_s = patience_s
        self._client_options = client_options | {"base_urls": base_urls, "deadline_s": None, "patience_s": patience_s}
        self._client = AsyncRewardClient(**self._client_options)
        self._first = FirstCheck(base_urls, self._rule, client_options.get("api_key"), columns=self._columns)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_client"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._client = AsyncRewardClient(**self._client_options)

    async def __call__(
        self,
        *,
        prompts: Sequence[Any],
        completions: Sequence[str | Messages | None],
        log_metric: Callable[[str, float], None] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        **given: Any,
    ) -> list[float | None]:
        """One total per completion, in order; None where there is none.

        Raises `PartialGroup`, `InvalidRequest`, and errors of `rewright.service.errors` for a service that is away for
        longer than the patience, that refuses, or that could score nothing of this call.
        """
        size = len(completions)
        named = {field: (name, given.get(name)) for field, name in self._columns.items()}
        problems = _column(*named["problem"], size)
        answers = _column(*named["answer"], size, optional=True)
        # Where answers are there, they may be enough: the service says so.
        references = _column(*named["reference"], size, optional=named["answer"][1] is not None)
        if size:
            fields = {"problem": problems[0], "reference": references[0], "answer": answers[0]}
            row = {self._columns[field]: value for field, value in fields.items()}
            await self._first.check(sample_of(row, "row 0", columns=self._columns), "row 0")
        _check_size("prompts", prompts, size)
        rollouts = [
            Rollout(key=(_frozen(p), x, y, a), problem=x, reference=y, answer=a, candidate=c)
            for p, x, y, a, c in zip(prompts, problems, references, answers, _candidates(completions), strict=True)
        ]
        grouping = whole_groups(rollouts, num_generations=self._num_generations, fix=FIX)
        started = time.monotonic()
        # Simultaneous calls share connections; the last closes them, since the next call may come on another loop.
        async with self._client:
            groups = await self._scored(grouping.groups)
        self._refuse_absence(groups)
        items: list[AnyCandidate] = grouping.flat([group.candidates for group in groups])
        totals = grouping.flat([self._totals(group) for group in groups])
        if all(total is None for total in totals):
            log.warning("each of the %d groups of this call has a failed member, so that whole_groups leaves none: %s",
                        len(groups), _counted(items))  # fmt: skip
        if log_metric is not None:
            numbers = statistics_of(groups) | {
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

    async def _scored(self, groups: Sequence[Group]) -> list[AnyRewardGroup]:
        """The groups' rewards. Asked again, up to the patience, while nothing has one and something may yet."""
        ends = time.monotonic() + self._patience_s
        scored = (await self._client.reward(groups, rule=self._rule)).groups
        while _nothing_scored(scored) and any(retryable_codes(group) for group in scored):
            left = ends - time.monotonic()
            if left < SHORTEST_TRY_S:
                break
            scored = (await self._client.reward(groups, rule=self._rule, deadline_s=left)).groups
        return scored

    def _totals(self, group: AnyRewardGroup) -> list[float | None]:
        if self._whole_groups and group.failed:
            return [None] * len(group.candidates)
        return [item.total for item in group.candidates]

    def _refuse_absence(self, groups: Sequence[AnyRewardGroup]) -> None:
        """Raise where the service, or a scorer that this step needed, stayed away for longer than the patience, and
        where nothing has a reward, for whatever reason: a step of that kind trains on nothing, without a word.

        One text that its judge cannot take must not end training, so a scorer that worked for others is not away.
        """
        within = f"within the patience of {self._patience_s:g} s"
        lost = next((g for g in groups if isinstance(g, UnansweredRewardGroup)), None)
        if lost is not None:
            raise DeadlineExceeded(
                f"the service did not answer every group {within}: {lost.candidates[0].error.message}"
            )
        items: list[AnyCandidate] = [item for group in groups for item in group.candidates]
        if _nothing_scored(groups):
            waited = f" {within}" if any(retryable_codes(group) for group in groups) else ""
            raise ScorerUnavailable(
                f"nothing of these {len(groups)} groups could be scored{waited}: {_counted(items)}. Training on them "
                "would teach nothing. See the service's log and /readyz; `bad_gold` is of the data: leave such samples "
                "out (corpus.check_golds in our recipes)"
            )
        failed = {item.error.code for item in items if not isinstance(item, RewardScored)}
        away = failed & (AWAY | SERVICES_OWN)
        opened = any(item.gate == "open" for item in items)
        judged = any(item.v_rea is not None for item in items)
        if away and not opened and not (judged and away == {"judge_unavailable"}):
            raise ScorerUnavailable(
                f"no candidate of this step could be scored in full {within}: {', '.join(sorted(away))}"
            )


def text_of(completion: str | Messages | None) -> str:
    """The candidate's text: the completion itself, or its last assistant message; "", a blank, where it says nothing.

    A lone surrogate, which no encoding of Unicode can carry, becomes U+FFFD: it is the policy's own doing, and scored.
    Raises `InvalidRequest` for what is neither a text nor messages.
    """
    if completion is None:
        return ""
    if isinstance(completion, str):
        return _encodable(completion)
    if not isinstance(completion, Sequence) or isinstance(completion, bytes):
        raise InvalidRequest(f"holds {type(completion).__name__}; a completion is a text or a list of messages")
    for message in reversed(completion):
        if not isinstance(message, Mapping):
            raise InvalidRequest(f"holds {type(message).__name__} among its messages; a message is a dict with a role")
        if message.get("role") == "assistant":
            return _encodable(_content_text(message.get("content")))
    return ""


def _content_text(content: Any) -> str:
    """Of one message: a text, or parts of which those of type `text` count."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"holds {type(content).__name__} as a message's content; it is a text or a list of parts")
    texts: list[Any] = []
    for part in content:
        if isinstance(part, Mapping):
            texts += [part.get("text") or ""] if part.get("type") == "text" else []
        else:
            texts.append(part)
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None:
        raise InvalidRequest(f"holds {type(odd).__name__} as the text of a message's part; it is a string")
    return "".join(texts)


def _encodable(text: str) -> str:
    if text_trouble(text) is None:
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _candidates(completions: Sequence[Any]) -> list[str]:
    texts = []
    for row, completion in enumerate(completions):
        try:
            texts.append(text_of(completion))
        except InvalidRequest as error:
            raise InvalidRequest(f"completions, row {row}: {error.message}") from None
    return texts


def _column(name: str, values: Sequence[Any] | None, size: int, *, optional: bool = False) -> Sequence[Any]:
    """The column, one value per completion: texts, and None as well where it is `optional`."""
    if values is None:
        if optional:
            return [None] * size
        raise InvalidRequest(
            f"the dataset has no column {name!r}; the reward needs `problem`, and `reference` or `answer`. "
            "Is remove_unused_columns on?"
        )
    _check_size(name, values, size)
    for row, value in enumerate(values):
        if not (optional and value is None) and (trouble := text_trouble(value)) is not None:
            raise InvalidRequest(f"column {name!r}, row {row}: {trouble}")
    return values


def _check_size(name: str, values: Sequence[Any], size: int) -> None:
    if len(values) != size:
        raise InvalidRequest(f"{name!r} has {len(values)} rows for {size} completions; give one per completion")


def _nothing_scored(groups: Sequence[AnyRewardGroup]) -> bool:
    return all(item.total is None for group in groups for item in group.candidates)


def _counted(items: Sequence[AnyCandidate]) -> str:
    """How often each code, with what was said of it first."""
    failures = [item.error for item in items if not isinstance(item, RewardScored)]
    said = {error.code: error.message for error in reversed(failures)}
    counts = Counter(error.code for error in failures).most_common()
    return "; ".join(f"{code} {count} times ({said[code]})" for code, count in counts)


def _frozen(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else repr(prompt)
