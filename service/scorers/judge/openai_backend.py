"""The judge behind any OpenAI-compatible server (vLLM, SGLang, a hosted model).

Promises: for a prompt that asks for a label, one token a call and score = P(valid) normalised over the label tokens
among the `TOP` likeliest, where the server gives log-probabilities; for one that asks for a rationale, a structured
answer whose verdict comes last, or several samples of it. How answers are read: `openai_answers`. A judge that is down,
or that turns this service away (a rotated key, a moved address), is `judge_unavailable`, never a verdict and never the
text's fault; it is told in `/v1/info`, in the detail of `/readyz`, in a metric and in the log. Standard request fields
only.

The server parses control tokens of its own template out of any text: whatever spells one is broken up (`marks`), by the
served model's own tokenizer where it is named, else by the kinds of marks that templates write.

Not covered: judges that must think before they answer; those are cut off and fail as `judge_cut_off`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewright.service.core.request_context import seconds_left
from rewright.service.errors import OutOfTime, ScorerUnavailable
from rewright.service.schema import Failed, Group, JudgeGroup
from rewright.service.scorers.base import ReplicaState, failed
from rewright.service.scorers.judge.calibration import Calibration, RegressionAsking
from rewright.service.scorers.judge.chat_endpoints import ChatEndpoints, NoAnswer, Refused
from rewright.service.scorers.judge.label_asking import LabelAsking
from rewright.service.scorers.judge.marks import breaker_of, unmarked
from rewright.service.scorers.judge.no_verdict_alarm import NoVerdictAlarm
from rewright.service.scorers.judge.openai_answers import answer_schema, read_answer
from rewright.service.scorers.judge.prompt import JudgePrompt, Question
from rewright.service.scorers.judge.verdicts import (
    LABEL_FLOOR,
    Asking,
    JudgeItem,
    described,
    judge_groups,
    validate_prompt,
)

TOP = 20
"""Likeliest tokens asked for: the most that the common servers allow."""
RATIONALE_TOKENS = 512
"""Longest structured answer; its fields are bounded by the schema to less."""
SAMPLE_TEMPERATURE = 0.7
"""Of several samples; a single one is greedy."""

_LABEL_FIELDS = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": TOP}


class OpenAIJudge:
    """A judge over HTTP.

    base_urls: …/v1, several for failover. concurrency: calls under way at once. call_timeout_s: deadline of one call,
    retries included. both_orders: the mean of both orders of the labels. samples: answers drawn for each rationale.
    label_floor: the least probability that both labels together must have for a verdict. tokenizer: hub name or folder
    of the served model's. calibration: a regression that was fitted for this judge.
    Codes of failed candidates: `blank`, `judge_unavailable` and `judge_cut_off` (both retryable), `judge_rejected`
    (every server refuses this text, for instance because it is too long for its context, and answers others).
    """

    name = "judge"

    def __init__(
        self,
        *,
        base_urls: Sequence[str],
        model: str,
        api_key: str | None,
        prompt: JudgePrompt,
        threshold: float,
        concurrency: int,
        call_timeout_s: float,
        both_orders: bool = False,
        samples: int = 1,
        label_floor: float = LABEL_FLOOR,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        tokenizer: str | None = None,
        calibration: Calibration | None = None,
    ) -> None:
        validate_prompt(prompt, both_orders=both_orders, samples=samples)
        self._base_urls = list(base_urls)
        self._model = model
        self._api_key = api_key
        self.prompt = prompt
        self._threshold = threshold
        self._concurrency = concurrency
        self._call_timeout_s = call_timeout_s
        self._both_orders = both_orders
        self._samples = samples
        self._calibration = calibration
        self._asking: Asking = (
            RegressionAsking(calibration, threshold)
            if calibration is not None
            else LabelAsking(threshold, samples=samples, both_orders=both_orders)
        )
        self._label_floor = label_floor
        self._tokenizer = tokenizer
        self._as_text: Callable[[str], str] = unmarked
        self._template = (
            {"chat_template_kwargs": dict(chat_template_kwargs)} if chat_template_kwargs is not None else {}
        )
        self._endpoints: ChatEndpoints | None = None
        self._last_worked: float | None = None
        self._watch = NoVerdictAlarm()

    async def open(self) -> None:
        """Nothing is asked yet: a judge that is down must not keep the service from starting.

        Raises `SettingsError` where the tokenizer cannot be had, or the calibration belongs to another judge.
        """
        if self._calibration is not None:
            self._calibration.check(self.describe())
        if self._tokenizer is not None:
            self._as_text = await asyncio.to_thread(breaker_of, self._tokenizer)
        self._endpoints = ChatEndpoints(
            self._base_urls,
            api_key=self._api_key,
            concurrency=self._concurrency,
            call_timeout_s=self._call_timeout_s,
        )

    async def close(self) -> None:
        if self._endpoints is not None:
            await self._endpoints.close()

    def last_worked(self) -> float | None:
        return self._last_worked

    def troubles(self) -> list[str]:
        return self._endpoints.troubles() if self._endpoints is not None else []

    def replica_state(self) -> ReplicaState:
        """Servers that answer and those in trouble; retries are counted in calls."""
        away = len(self.troubles())
        retries = self._endpoints.retries if self._endpoints is not None else 0
        return ReplicaState(well=len(self._base_urls) - away, away=away, retries=retries)

    def describe(self) -> dict[str, Any]:
        return described("openai", self._model, self.prompt, self._threshold, self._label_floor) | {
            "servers": len(self._base_urls),
            "tokenizer": self._tokenizer,
            "both_orders": self._both_orders,
            "samples": self._samples,
            **self._template,
            **({"calibration": self._calibration.describe()} if self._calibration is not None else {}),
        }

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        """One result per group in order. Raises `ScorerUnavailable` when the scorer is not open."""
        return await judge_groups(groups, self.prompt, self.ask, self._asking)

    async def ask(self, questions: Sequence[Question]) -> list[JudgeItem]:
        """Each question's own answer, in order. Raises `ScorerUnavailable` when the scorer is not open."""
        if self._endpoints is None:
            raise ScorerUnavailable("the judge is not open")
        return await asyncio.gather(*(self._ask(self._endpoints, question) for question in questions))

    async def _ask(self, endpoints: ChatEndpoints, question: Question) -> JudgeItem:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "user", "content": self._as_text(question.user)}],
            **self._template,
        }
        body |= self._rationale_fields(question.sample) if self.prompt.asks == "rationale" else _LABEL_FIELDS
        try:
            async with asyncio.timeout(seconds_left()):
                answer = await endpoints.complete(body, affinity=question.shared)
        except TimeoutError:
            return failed(OutOfTime("the judge had not answered by the request's deadline; send the group again"))
        except NoAnswer as trouble:
            return Failed.because("judge_unavailable", str(trouble), retryable=True)
        except Refused as trouble:
            return Failed.because(
                "judge_rejected",
                f"the judge's server refused this text with HTTP {trouble.status}, and answers others",
                retryable=False,
            )
        self._last_worked = time.monotonic()
        item = read_answer(answer, self.prompt, self._threshold, self._label_floor)
        self._watch.note(item)
        return item

    def _rationale_fields(self, sample: int) -> dict[str, Any]:
        schema = {"name": "judgement", "strict": True, "schema": answer_schema(self.prompt)}
        fields = {
            "max_tokens": RATIONALE_TOKENS,
            "temperature": SAMPLE_TEMPERATURE if self._samples > 1 else 0,
            "response_format": {"type": "json_schema", "json_schema": schema},
        }
        return fields | ({"seed": sample} if self._samples > 1 else {})
