"""What an OpenAI-compatible server answered, read as a verdict.

Promises: a label is read from the probabilities of the first token, where both labels together have enough of it, or
from an answer that is exactly one label; a rationale's verdict from its own field of a JSON object that has the three
fields and no other. Nothing is searched for in text: any other answer is `no_verdict`. An answer cut off by the judge's
token limit or by a filter is `Failed("judge_cut_off")`, and one that is no chat completion
`Failed("judge_unavailable")`.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rewright.service.schema import Failed
from rewright.service.scorers.judge.prompt import JudgePrompt
from rewright.service.scorers.judge.verdicts import CUT_OFF, NO_VERDICT, JudgeItem, by_labels, is_label, labelled

NO_FAULT = "none"


class _Token(BaseModel):
    token: str
    # −∞ is the logarithm of 0. What is above 0 by more than rounding adds is no logarithm of a probability.
    logprob: float = Field(le=0.01)


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


class _Judgement(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    first_faulty_step: str
    reason: str
    verdict: str


class _Completion(BaseModel):
    choices: list[_Choice]


def answer_schema(prompt: JudgePrompt) -> dict[str, Any]:
    """The JSON schema of a rationale, its verdict last, so that it is written after its reasons."""
    text = {"type": "string", "maxLength": 300}
    return {
        "type": "object",
        "properties": {
            "first_faulty_step": text,
            "reason": text,
            "verdict": {"type": "string", "enum": [prompt.valid, prompt.invalid]},
        },
        "required": ["first_faulty_step", "reason", "verdict"],
        "additionalProperties": False,
    }


def read_answer(answer: dict[str, Any], prompt: JudgePrompt, threshold: float, label_floor: float) -> JudgeItem:
    """The verdict of one chat completion. label_floor: see `verdicts.by_labels`."""
    try:
        choice = _Completion.model_validate(answer).choices[0]
    except (ValidationError, IndexError):
        return Failed.because("judge_unavailable", "the judge's server sent no chat completion", retryable=True)
    if choice.finish_reason == "content_filter":
        return Failed.because(CUT_OFF, "the judge's server filtered its answer", retryable=True)
    return _rationale(choice, prompt) if prompt.asks == "rationale" else _label(choice, prompt, threshold, label_floor)


def _label(choice: _Choice, prompt: JudgePrompt, threshold: float, label_floor: float) -> JudgeItem:
    text = choice.message.content or ""
    tokens = _first_tokens(choice)
    verdict = by_labels(
        [t.logprob for t in tokens if is_label(t.token, prompt.valid)],
        [t.logprob for t in tokens if is_label(t.token, prompt.invalid)],
        threshold=threshold,
        floor=label_floor,
    )
    if verdict is not None:
        return verdict
    for label, valid in ((prompt.valid, True), (prompt.invalid, False)):
        if is_label(text, label):
            return labelled(valid=valid)
    if choice.finish_reason == "length" and not text.strip():
        # The one token went into something hidden, such as thinking: no fault of the candidate.
        return _cut_off()
    return NO_VERDICT


def _rationale(choice: _Choice, prompt: JudgePrompt) -> JudgeItem:
    if choice.finish_reason == "length":
        return _cut_off()
    try:
        judgement = _Judgement.model_validate_json(choice.message.content or "")
    except ValidationError:
        return NO_VERDICT
    if judgement.verdict not in (prompt.valid, prompt.invalid):
        return NO_VERDICT
    step = judgement.first_faulty_step.strip()
    named = step and step.casefold() != NO_FAULT
    reason = f'at "{step}": {judgement.reason.strip()}' if named else judgement.reason.strip()
    return labelled(valid=judgement.verdict == prompt.valid, rationale=reason or None)


def _cut_off() -> Failed:
    return Failed.because(CUT_OFF, "the judge ran out of tokens before its verdict", retryable=True)


def _first_tokens(choice: _Choice) -> list[_Token]:
    """The candidates for the first token, the chosen one among them."""
    if choice.logprobs is None or not choice.logprobs.content:
        return []
    first = choice.logprobs.content[0]
    listed: list[_Token] = list(first.top_logprobs)
    return listed if any(t.token == first.token for t in listed) else [first, *listed]
