"""v_rea of eq. 4: what the judge's backends share.

Promises: valid ⇔ score ≥ threshold; a verdict is read from the probabilities of the two labels, or from an answer that
is exactly one label, and never searched for in text; equal candidates of a group are asked once and answered each; a
blank candidate is `Failed("blank")` and never reaches a model.

A backend (`judge_openai`, `judge_transformers`) turns one question into `JudgeScored` or `Failed`.
Not covered: whether a judge judges well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import numpy as np

from service.errors import InvalidRequest
from service.schema import Failed, Group, JudgeGroup, JudgeScored
from service.scorers.judge_prompt import JudgePrompt, Question

JudgeItem = JudgeScored | Failed

NO_VERDICT = JudgeScored(valid=False, score=None, verdict="no_verdict")


def judged(score: float, threshold: float) -> JudgeScored:
    """The verdict of P(valid)."""
    valid = score >= threshold
    return JudgeScored(valid=valid, score=score, verdict="valid" if valid else "invalid")


def labelled(*, valid: bool) -> JudgeScored:
    """The verdict of a judge that named a label and no probability."""
    return JudgeScored(valid=valid, score=None, verdict="valid" if valid else "invalid")


def p_valid(valid_logprobs: Iterable[float], invalid_logprobs: Iterable[float]) -> float | None:
    """P(valid) / (P(valid) + P(invalid)) from the natural log-probabilities of every spelling of the two labels.

    None where neither label has any probability.
    """
    valid = float(np.logaddexp.reduce(np.fromiter(valid_logprobs, float)))
    invalid = float(np.logaddexp.reduce(np.fromiter(invalid_logprobs, float)))
    both = float(np.logaddexp(valid, invalid))
    return None if both == -np.inf or np.isnan(both) else float(np.exp(min(0.0, valid - both)))


def is_label(token: str, label: str) -> bool:
    """Whether a token spells the label: case and outer white space aside, all of it and nothing else."""
    return token.strip().casefold() == label.strip().casefold()


def described(backend: str, model: str, prompt: JudgePrompt, threshold: float) -> dict[str, Any]:
    return {"backend": backend, "model": model, "prompt": prompt.describe(), "threshold": threshold}


async def judge_groups(
    groups: Sequence[Group],
    prompt: JudgePrompt,
    ask: Callable[[Sequence[Question]], Awaitable[Sequence[JudgeItem]]],
) -> list[JudgeGroup]:
    """One result a group in order, by asking `ask` (same length, same order) every distinct question once.

    Raises `InvalidRequest` where a group lacks its problem or reference.
    """
    questions = await asyncio.to_thread(_questions, groups, prompt)
    distinct = list(dict.fromkeys(q for asked in questions for q in asked if q is not None))
    answers = dict(zip(distinct, await ask(distinct), strict=True))
    blank = Failed.because("blank", "a blank candidate has no reasoning to judge", retryable=False)
    return [
        JudgeGroup(id=str(group.id), candidates=[answers[q] if q is not None else blank for q in asked])
        for group, asked in zip(groups, questions, strict=True)
    ]


def _questions(groups: Sequence[Group], prompt: JudgePrompt) -> list[list[Question | None]]:
    """A question a candidate; None for a blank one."""
    questions: list[list[Question | None]] = []
    for group in groups:
        problem, reference = group.problem, group.reference
        if problem is None or reference is None:
            raise InvalidRequest(f"group {group.id} needs problem and reference to be judged")
        questions.append(
            [
                prompt.question(problem=problem, reference=reference, candidate=text) if text.strip() else None
                for text in group.candidates
            ]
        )
    return questions
