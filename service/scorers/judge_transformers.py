"""The judge in this process: one forward pass a question, the verdict from the probabilities of the label tokens.

Promises: score = P(valid) over all single tokens that spell one of the two labels, at the position where the judge
would begin its answer; text of problem, reference or candidate that spells a control token is read as ordinary text;
nothing is cut: a question longer than the judge's context is `Failed("too_long")`.

Not covered: a shared prefix computed once a group, and models that take no position ids.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from service.batching import Batcher, QueueState
from service.errors import ScorerUnavailable, SettingsError
from service.schema import Failed, Group, JudgeGroup
from service.scorers.backbone import Backbone
from service.scorers.judge import JudgeItem, described, is_label, judge_groups, judged, p_valid
from service.scorers.judge_prompt import JudgePrompt, Question
from service.scorers.memory_split import OutOfMemory, run_split
from service.scorers.rendering import ChatFormat

# The same question must read alike tomorrow, and the answer must begin where the generation prompt ends.
TEMPLATE_DATE = "2025-01-01"
TEMPLATE_ARGUMENTS = {"enable_thinking": False}

Ids = tuple[int, ...]


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


class TransformersJudge:
    """`contract.JudgeScorer` with a causal language model in this process.

    load: gives the model; called once, on another thread. batch_tokens: padded tokens one forward pass may hold.
    queue_tokens: tokens that may wait. turn: held while the device works, so that scorers sharing it take turns.
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
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self._load = load
        self._prompt = prompt
        self._threshold = threshold
        self._batch_tokens = batch_tokens
        self._opened: _Opened | None = None
        self._batcher: Batcher[Ids, float | OutOfMemory | None] = Batcher(
            self.name,
            self._run,
            len,
            budget=batch_tokens,
            capacity=queue_tokens,
            turn=turn,
            worked=lambda score: not isinstance(score, OutOfMemory),
        )

    async def open(self) -> None:
        self._opened = await asyncio.to_thread(self._prepare)
        self._batcher.start()

    def _prepare(self) -> _Opened:
        backbone = self._load()
        chat = ChatFormat.of(backbone.tokenizer, date=TEMPLATE_DATE, template_args=TEMPLATE_ARGUMENTS)
        return _Opened(backbone, chat, label_tokens(backbone.tokenizer, self._prompt))

    async def close(self) -> None:
        await self._batcher.close()

    def last_worked(self) -> float | None:
        return self._batcher.last_worked()

    def queue_state(self) -> QueueState:
        return self._batcher.state()

    def describe(self) -> dict[str, Any]:
        """`stand_in` is true for the embedded model, which is too small to judge well."""
        if self._opened is None:
            return described("transformers", "not loaded", self._prompt, self._threshold)
        backbone = self._opened.backbone
        return described("transformers", backbone.name, self._prompt, self._threshold) | {
            "revision": backbone.revision,
            "precision": str(backbone.dtype).removeprefix("torch."),
            "device": str(backbone.device),
            "context_window": backbone.context_window,
            "template": self._opened.format.describe(),
            "stand_in": backbone.embedded,
        }

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        """One result a group in order. Raises `Overloaded`, or `ScorerUnavailable` when the scorer is not open."""
        return await judge_groups(groups, self._prompt, self._ask_all)

    async def _ask_all(self, questions: Sequence[Question]) -> list[JudgeItem]:
        if self._opened is None:
            raise ScorerUnavailable("the judge is not open")
        if not questions:
            return []
        backbone, chat, _ = self._opened
        prompts = await asyncio.to_thread(lambda: [tuple(chat.encode_prefix(q.user)) for q in questions])
        # One position more than the prompt, for the verdict.
        fitting = [ids for ids in prompts if len(ids) < backbone.context_window]
        scores = iter(await self._batcher.submit(fitting) if fitting else ())
        return [
            self._item(next(scores)) if len(ids) < backbone.context_window else _too_long(ids, backbone)
            for ids in prompts
        ]

    def _item(self, score: float | OutOfMemory | Exception | None) -> JudgeItem:
        if isinstance(score, ScorerUnavailable):
            raise score
        if isinstance(score, OutOfMemory):
            return Failed.because("out_of_memory", "the judge ran out of memory on this text alone", retryable=True)
        if isinstance(score, Exception):
            return Failed.because("internal", f"the judge raised {type(score).__name__}", retryable=True)
        if score is None:
            return Failed.because("not_finite", "the judge's logits are not finite", retryable=False)
        return judged(score, self._threshold)

    def _run(self, prompts: Sequence[Ids]) -> list[float | OutOfMemory | None]:
        return run_split(self._p_valid, prompts, length=len, budget=self._batch_tokens)

    def _p_valid(self, prompts: Sequence[Ids]) -> list[float | None]:
        assert self._opened is not None  # noqa: S101  the batcher starts after loading
        backbone, _, labels = self._opened
        with torch.inference_mode():
            logits_BV = _last_logits(backbone, prompts)
        # The ratio of two probabilities is that of their exponentiated logits: no softmax over the vocabulary.
        valid_BL = logits_BV[:, labels.valid].float().cpu().tolist()
        invalid_BL = logits_BV[:, labels.invalid].float().cpu().tolist()
        return [_finite(valid, invalid) for valid, invalid in zip(valid_BL, invalid_BL, strict=True)]


def _last_logits(backbone: Backbone, prompts: Sequence[Ids]) -> torch.Tensor:
    """Logits (B, V) of the token after each prompt. Padded on the left, so that all prompts end together."""
    width = max(map(len, prompts))
    pad = backbone.tokenizer.pad_token_id or 0
    input_BT = torch.tensor([[pad] * (width - len(ids)) + list(ids) for ids in prompts])
    mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts])
    logits_B1V = backbone.model(
        input_ids=input_BT.to(backbone.device),
        attention_mask=mask_BT.to(backbone.device),
        position_ids=(mask_BT.cumsum(-1) - 1).clamp(min=0).to(backbone.device),
        logits_to_keep=1,
        use_cache=False,
    ).logits
    last: torch.Tensor = logits_B1V[:, -1]
    return last


def _finite(valid: Iterable[float], invalid: Iterable[float]) -> float | None:
    score = p_valid(valid, invalid)
    return score if score is not None and 0.0 <= score <= 1.0 else None


def _too_long(ids: Ids, backbone: Backbone) -> Failed:
    return Failed.because(
        "too_long",
        f"problem, reference and candidate need {len(ids)} tokens of the judge's {backbone.context_window}",
        retryable=False,
    )
