"""The judge in this process: one forward pass per question, the verdict from the probabilities of the label tokens.

Promises: score = P(valid) over all single tokens that spell one of the two labels, at the position where the judge
would begin its answer; what a group's questions begin with alike (instructions, problem, reference) is computed once;
text of problem, reference or candidate that spells a control token is read as ordinary text; nothing is cut: a question
longer than the judge's context is `Failed("too_long")`.

How the model is run is chosen as for the NLL (`rewright.service.models.forward.choose`): a score depends neither on
what else is in a batch nor on the way. Not covered: a beginning that several groups share, a candidate that both orders
of the labels share, and prompts that ask for a rationale.
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from rewright.service.core.batcher import Batcher, QueueState
from rewright.service.errors import OutOfTime, ScorerUnavailable, SettingsError
from rewright.service.models.backbone import Backbone
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.forward.choose import NextScorer, fastest_scorer
from rewright.service.models.forward.packing import Tree
from rewright.service.models.memory_split import OutOfMemory
from rewright.service.models.rendering import DEFAULT_RENDERING, Prompting, Rendering
from rewright.service.schema import Failed, Group, JudgeGroup, JudgeScored
from rewright.service.scorers.base import failed
from rewright.service.scorers.judge.calibration import Calibration, RegressionAsking
from rewright.service.scorers.judge.label_asking import LabelAsking
from rewright.service.scorers.judge.no_verdict_alarm import NoVerdictAlarm
from rewright.service.scorers.judge.prompt import JudgePrompt, Question
from rewright.service.scorers.judge.verdicts import (
    LABEL_FLOOR,
    Asking,
    JudgeItem,
    by_labels,
    described,
    is_label,
    judge_groups,
    judged,
    validate_prompt,
)

Ids = tuple[int, ...]
Scores = list[JudgeScored | OutOfMemory | None]
"""The verdict of each question; None where the logits are not finite."""


PROBED = 512
"""Tokens, evenly spread over the vocabulary."""


class Asked(NamedTuple):
    """Questions that begin alike. `rests` are never empty."""

    beginning: Ids
    rests: tuple[Ids, ...]

    @property
    def cost(self) -> int:
        """Tokens that are computed."""
        return len(self.beginning) + sum(map(len, self.rests))


class LabelTokens(NamedTuple):
    """Every token of the vocabulary that spells the label by itself: "Yes", " Yes", "yes"."""

    valid: list[int]
    invalid: list[int]


def label_tokens(tokenizer: PreTrainedTokenizerBase, prompt: JudgePrompt) -> LabelTokens:
    """Raises `SettingsError` where no single token spells a label: its probability could not be read in one pass."""
    special = set(tokenizer.all_special_ids)
    spelt = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    found = []
    for label in (prompt.valid, prompt.invalid):
        ids = [i for i, text in enumerate(spelt) if i not in special and is_label(text, label)]
        if not ids:
            raise SettingsError(
                f"scorers.judge.prompt: the label {label!r} of {prompt.name!r} is no single token of the judge; "
                "choose a prompt with shorter labels"
            )
        found.append(ids)
    return LabelTokens(*found)


class _Opened(NamedTuple):
    backbone: Backbone
    format: ChatFormat
    labels: LabelTokens
    scorer: NextScorer


class TransformersJudge:
    """`contract.JudgeScorer` with a causal language model in this process.

    load: gives the model; called once, on another thread. batch_tokens: tokens one forward pass may hold.
    queue_tokens: tokens that may wait. label_floor: the least probability of both labels together that makes a verdict.
    prompting: how questions are rendered. both_orders: the mean of both orders of the labels. calibration: what was
    fitted for this judge. turn: held while the device works, so that scorers sharing it take turns.
    Codes of failed candidates: `blank`, `too_long` and `not_finite` (not retryable), `out_of_memory` and `internal`.
    """

    name = "judge"

    def __init__(
        self,
        *,
        load: Callable[[], Backbone],
        prompt: JudgePrompt,
        threshold: float,
        batch_tokens: int,
        queue_tokens: int,
        label_floor: float = LABEL_FLOOR,
        prompting: Prompting = DEFAULT_RENDERING,
        both_orders: bool = False,
        calibration: Calibration | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        if prompt.asks != "label":
            raise SettingsError(
                f"scorers.judge.prompt: {prompt.name!r} asks for a rationale, which the transformers backend does not "
                "write; choose a prompt that asks for a label, or set backend to 'openai'"
            )
        validate_prompt(prompt, both_orders=both_orders)
        self._load = load
        self.prompt = prompt
        self.prompting = prompting
        self._threshold = threshold
        self._label_floor = label_floor
        self._watch = NoVerdictAlarm()
        self._both_orders = both_orders
        self._calibration = calibration
        self._asking: Asking = (
            RegressionAsking(calibration, threshold)
            if calibration is not None and calibration.kind == "regression"
            else LabelAsking(threshold, both_orders=both_orders)
        )
        self._probed: Ids = calibration.tokens if calibration is not None else ()
        self._batch_tokens = batch_tokens
        self._opened: _Opened | None = None
        self._batcher: Batcher[Asked, Scores] = Batcher(
            self.name,
            self._run,
            lambda asked: asked.cost,
            budget=batch_tokens,
            capacity=queue_tokens,
            turn=turn,
            worked=_worked,
        )

    async def open(self) -> None:
        """Raises `SettingsError` where the calibration belongs to another judge."""
        self._opened = await asyncio.to_thread(self._prepare)
        if self._calibration is not None:
            self._calibration.check(self.describe())
        self._batcher.start()

    def _prepare(self) -> _Opened:
        backbone = self._load()
        chat = ChatFormat.of(
            backbone.tokenizer,
            Rendering(**dict(self.prompting)),
            eos_ids=backbone.eos_ids,
            setting="scorers.judge",
            needs_end=False,
        )
        labels = label_tokens(backbone.tokenizer, self.prompt)
        scorer = fastest_scorer(backbone, batch_tokens=self._batch_tokens, next_ids=[*labels.valid, *labels.invalid])
        return _Opened(backbone, chat, labels, scorer)

    async def close(self) -> None:
        await self._batcher.close()
        if self._opened is not None:
            self._opened.scorer.close()

    def last_worked(self) -> float | None:
        return self._batcher.last_worked()

    def queue_state(self) -> QueueState:
        return self._batcher.state()

    def describe(self) -> dict[str, Any]:
        """`stand_in` is true for the embedded model, which is too small to judge well."""
        if self._opened is None:
            return described("transformers", "not loaded", self.prompt, self._threshold, self._label_floor)
        backbone = self._opened.backbone
        return described("transformers", backbone.name, self.prompt, self._threshold, self._label_floor) | {
            "revision": backbone.revision,
            "precision": str(backbone.dtype).removeprefix("torch."),
            "device": str(backbone.device),
            "context_window": backbone.context_window,
            "template": self._opened.format.describe(),
            "stand_in": backbone.embedded,
            "both_orders": self._both_orders,
            "way": self._opened.scorer.way,
            **({"calibration": self._calibration.describe()} if self._calibration is not None else {}),
        }

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        """One result per group in order. Raises `Overloaded`, or `ScorerUnavailable` when the scorer is not open."""
        return await judge_groups(groups, self.prompt, self.ask, self._asking)

    async def ask(self, questions: Sequence[Question]) -> list[JudgeItem]:
        """Each question's own answer, in order. Raises as `score`."""
        if self._opened is None:
            raise ScorerUnavailable("the judge is not open")
        if not questions:
            return []
        backbone, chat = self._opened.backbone, self._opened.format
        prompts = await asyncio.to_thread(lambda: [tuple(chat.encode_prefix(q.user)) for q in questions])
        # One position more than the prompt, for the verdict.
        fitting = [i for i, ids in enumerate(prompts) if len(ids) < backbone.context_window]
        jobs = _jobs(questions, prompts, fitting, self._batch_tokens)
        outcomes = await self._batcher.submit(jobs) if jobs else []
        scores = [
            score
            for job, outcome in zip(jobs, outcomes, strict=True)
            for score in (outcome if isinstance(outcome, list) else [outcome] * len(job.rests))
        ]
        found = dict(zip(fitting, scores, strict=True))
        return [self._item(found[i]) if i in found else _too_long(ids, backbone) for i, ids in enumerate(prompts)]

    def _item(self, score: JudgeScored | OutOfMemory | Exception | None) -> JudgeItem:
        if isinstance(score, ScorerUnavailable):
            raise score
        if isinstance(score, OutOfMemory):
            return Failed.because("out_of_memory", "the judge ran out of memory on this text alone", retryable=True)
        if isinstance(score, OutOfTime):
            return failed(score)
        if isinstance(score, Exception):
            return Failed.because("internal", f"the judge raised {type(score).__name__}", retryable=True)
        if score is None:
            return Failed.because("not_finite", "the judge's logits are not finite", retryable=False)
        self._watch.note(score)
        return score

    def _run(self, jobs: Sequence[Asked]) -> list[Scores]:
        assert self._opened is not None  # noqa: S101  the batcher starts after loading
        labels = self._opened.labels
        trees = [Tree(job.beginning, job.rests) for job in jobs]
        found = self._opened.scorer.score(trees, next_ids=[*labels.valid, *labels.invalid, *self._probed])
        return [
            [one if isinstance(one, OutOfMemory) else self._verdict(one.tolist(), labels) for one in each]
            for each in found
        ]

    def _verdict(self, values: Sequence[float], labels: LabelTokens) -> JudgeScored | None:
        """Of the log-probabilities of the label tokens, valid ones first, and of those that a probe reads."""
        behind = len(labels.valid) + len(labels.invalid)
        valid, invalid = values[: len(labels.valid)], values[len(labels.valid) : behind]
        verdict = by_labels(valid, invalid, threshold=self._threshold, floor=self._label_floor)
        if verdict is None or verdict.score is None or self._calibration is None or not self._probed:
            return verdict
        p = self._calibration.p_valid(values[behind:])
        return judged(p, self._threshold) if math.isfinite(p) else None

    def probe_tokens(self) -> Ids:
        """The labels' tokens, and `PROBED` others: through them a probe sees the last hidden state."""
        if self._opened is None:
            raise ScorerUnavailable("the judge is not open")
        labels, size = self._opened.labels, len(self._opened.backbone.tokenizer)
        return tuple(dict.fromkeys([*labels.valid, *labels.invalid, *range(0, size, max(1, size // PROBED))]))

    def plain(self, logprobs: Sequence[float]) -> float | None:
        """P(valid) of what `look` saw of `probe_tokens`; None where there is no verdict."""
        if self._opened is None:
            raise ScorerUnavailable("the judge is not open")
        verdict = self._verdict(logprobs, self._opened.labels)
        return verdict.score if verdict is not None else None

    async def look(self, questions: Sequence[Question], tokens: Ids) -> list[list[float] | None]:
        """The natural log-probabilities of these tokens where each question's verdict would stand, shape [N] each: what
        a probe is fitted on. None for a question that is too long, also for memory. Not while anything is scored.
        """
        if self._opened is None:
            raise ScorerUnavailable("the judge is not open")
        return await asyncio.to_thread(self._look, self._opened, questions, tokens)

    def _look(self, opened: _Opened, questions: Sequence[Question], tokens: Ids) -> list[list[float] | None]:
        prompts = [tuple(opened.format.encode_prefix(question.user)) for question in questions]
        fitting = [i for i, ids in enumerate(prompts) if len(ids) < opened.backbone.context_window]
        jobs = _jobs(questions, prompts, fitting, self._batch_tokens)
        seen = opened.scorer.score([Tree(job.beginning, job.rests) for job in jobs], next_ids=tokens) if jobs else []
        found = dict(zip(fitting, (one for each in seen for one in each), strict=True))
        return [one.tolist() if isinstance(one := found.get(i), torch.Tensor) else None for i in range(len(prompts))]


def _worked(scores: Scores) -> bool:
    """Whether the device did its work: a batch lost to memory is no sign of life."""
    return not all(isinstance(score, OutOfMemory) for score in scores)


def _jobs(
    questions: Sequence[Question], prompts: Sequence[Ids], fitting: Sequence[int], batch_tokens: int
) -> list[Asked]:
    """The fitting questions in their order, neighbours that begin alike together."""
    jobs: list[Asked] = []
    for _, together in groupby(fitting, key=lambda i: questions[i].shared):
        jobs += _asked([prompts[i] for i in together], batch_tokens)
    return jobs


def _asked(prompts: Sequence[Ids], batch_tokens: int) -> list[Asked]:
    """Questions with what they begin with alike set apart, as many together as fit into one batch."""
    first, last = min(prompts), max(prompts)
    alike = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    alike = min(alike, min(map(len, prompts)) - 1)
    jobs: list[Asked] = []
    rests: list[Ids] = []
    for ids in prompts:
        if rests and Asked(first[:alike], (*rests, ids[alike:])).cost > batch_tokens:
            jobs.append(Asked(first[:alike], tuple(rests)))
            rests = []
        rests.append(ids[alike:])
    return [*jobs, Asked(first[:alike], tuple(rests))]


def _too_long(ids: Ids, backbone: Backbone) -> Failed:
    return Failed.because(
        "too_long",
        f"problem, reference and candidate need {len(ids)} tokens of the judge's {backbone.context_window}",
        retryable=False,
    )
