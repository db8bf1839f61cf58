"""The judge behind any OpenAI-compatible server (vLLM, SGLang, a hosted model): one token a call.

Promises: score = P(valid) normalised over the label tokens among the `TOP` likeliest, where the server gives
log-probabilities; without them the verdict of an answer that is exactly one label, with score None; any other answer is
`no_verdict`. A judge that is down is `judge_unavailable`, never a verdict. Standard request fields only.

The server parses control tokens of its own template out of any text, and this side does not know its tokenizer, so
spellings of the known families' control tokens are broken up by a space.

Not covered: judges that must think before they answer; those are cut off after one token and fail as `judge_cut_off`.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from service.errors import ScorerUnavailable
from service.schema import Failed, Group, JudgeGroup
from service.scorers.chat_endpoints import ChatEndpoints, NoAnswer, Refused
from service.scorers.judge import NO_VERDICT, JudgeItem, described, is_label, judge_groups, judged, labelled, p_valid
from service.scorers.judge_prompt import JudgePrompt, Question

TOP = 20
"""Likeliest tokens asked for: the most that the common servers allow."""

_CONTROL_TOKEN = re.compile(
    r"<(?=[|｜][^|｜<>]{1,64}[|｜]>)"  # <|im_end|>, <|eot_id|>, <｜User｜>
    r"|<(?=/?(?:s|bos|eos|pad|unk|think|tool_call|tool_response|(?:start|end)_of_turn)>)"
    r"|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\])"
)


class _Token(BaseModel):
    token: str
    logprob: float


class _FirstToken(_Token):
    top_logprobs: list[_Token] = []


class _Logprobs(BaseModel):
    content: list[_FirstToken] | None = None


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    logprobs: _Logprobs | None = None
    finish_reason: str | None = None


class _Completion(BaseModel):
    choices: list[_Choice]


class OpenAIJudge:
    """`contract.JudgeScorer` over HTTP.

    base_urls: …/v1, several for failover. concurrency: calls under way at once. call_timeout_s: deadline of one call,
    retries included. Codes of failed candidates: `blank`, `judge_unavailable` and `judge_cut_off` (both retryable),
    `judge_rejected` (the server says the request is wrong, for instance too long for its context).
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
    ) -> None:
        self._base_urls = list(base_urls)
        self._model = model
        self._api_key = api_key
        self._prompt = prompt
        self._threshold = threshold
        self._concurrency = concurrency
        self._call_timeout_s = call_timeout_s
        self._endpoints: ChatEndpoints | None = None
        self._last_worked: float | None = None

    async def open(self) -> None:
        """Nothing is asked yet: a judge that is down must not keep the service from starting."""
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

    def describe(self) -> dict[str, Any]:
        return described("openai", self._model, self._prompt, self._threshold) | {"servers": len(self._base_urls)}

    async def score(self, groups: Sequence[Group]) -> list[JudgeGroup]:
        """One result a group in order. Raises `ScorerUnavailable` when the scorer is not open."""
        return await judge_groups(groups, self._prompt, self._ask_all)

    async def _ask_all(self, questions: Sequence[Question]) -> list[JudgeItem]:
        if self._endpoints is None:
            raise ScorerUnavailable("the judge is not open")
        return await asyncio.gather(*(self._ask(self._endpoints, question) for question in questions))

    async def _ask(self, endpoints: ChatEndpoints, question: Question) -> JudgeItem:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": _as_text(question.user)}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP,
        }
        try:
            answer = await endpoints.complete(body, affinity=question.shared)
        except NoAnswer as trouble:
            return Failed.because("judge_unavailable", str(trouble), retryable=True)
        except Refused as trouble:
            return Failed.because(
                "judge_rejected", f"the judge's server refused the request with HTTP {trouble.status}", retryable=False
            )
        self._last_worked = time.monotonic()
        return self._read(answer)

    def _read(self, answer: dict[str, Any]) -> JudgeItem:
        try:
            choice = _Completion.model_validate(answer).choices[0]
        except (ValidationError, IndexError):
            return Failed.because("judge_unavailable", "the judge's server sent no chat completion", retryable=True)
        if choice.finish_reason == "content_filter":
            return Failed.because("judge_cut_off", "the judge's server filtered its answer", retryable=True)
        text = choice.message.content or ""
        tokens = _first_tokens(choice)
        score = p_valid(
            [t.logprob for t in tokens if is_label(t.token, self._prompt.valid)],
            [t.logprob for t in tokens if is_label(t.token, self._prompt.invalid)],
        )
        if score is not None:
            return judged(score, self._threshold)
        for label, valid in ((self._prompt.valid, True), (self._prompt.invalid, False)):
            if is_label(text, label):
                return labelled(valid=valid)
        if choice.finish_reason == "length" and not text.strip():
            # The one token went into something hidden, such as thinking: no fault of the candidate.
            return Failed.because("judge_cut_off", "the judge ran out of tokens before its verdict", retryable=True)
        return NO_VERDICT


def _first_tokens(choice: _Choice) -> list[_Token]:
    """The candidates for the first token, the chosen one among them."""
    if choice.logprobs is None or not choice.logprobs.content:
        return []
    first = choice.logprobs.content[0]
    listed: list[_Token] = list(first.top_logprobs)
    return listed if any(t.token == first.token for t in listed) else [first, *listed]


def _as_text(text: str) -> str:
    return _CONTROL_TOKEN.sub(lambda match: match[0] + " ", text)
