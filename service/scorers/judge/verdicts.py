"""v_rea of eq. 4: what the judge's backends share.

Promises: valid ⇔ score ≥ threshold; a verdict is read from the probabilities of the two labels, where these together
have enough of it, from an answer that is exactly one label, or from the field of a structured answer, and never
searched for in text; equal candidates of a group are asked once and answered each; a blank candidate is
`Failed("blank")` and never reaches a model; nor does one that fails for certain (`certain_faults`), which is `invalid`
with score 0 and the reason as its rationale; one that goes on behind its answer is also asked without that
(`readings`), and the lower result counts.

A backend (`openai_backend`, `transformers_backend`) turns one question into `JudgeScored` or `Failed`; which questions
are asked of a reading, and what their answers say together, is an `Asking` (`label_asking`, `calibration`).
Not covered: whether a judge judges well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rewright.service.errors import InvalidRequest, SettingsError
from rewright.service.mathematics.reasoning.certain_faults import CHECKS, certain_fault
from rewright.service.schema import Failed, Group, JudgeGroup, JudgeScored
from rewright.service.scorers.judge.prompt import JudgePrompt, Question
from rewright.service.scorers.judge.readings import READINGS, readings

JudgeItem = JudgeScored | Failed

CUT_OFF = "judge_cut_off"
"""Code of an answer that ended, by the judge's own token limit or filter, before its verdict."""
NO_VERDICT = JudgeScored(valid=False, score=None, verdict="no_verdict")


def judged(score: float, threshold: float) -> JudgeScored:
    """The verdict of P(valid)."""
    valid = score >= threshold
    return JudgeScored(valid=valid, score=score, verdict="valid" if valid else "invalid")


LABEL_FLOOR = 0.05
"""The least probability of both labels together; below it the judge was about to say something else."""


def by_labels(
    valid_logprobs: Iterable[float], invalid_logprobs: Iterable[float], *, threshold: float, floor: float
) -> JudgeScored | None:
    """The verdict of the natural log-probabilities of every spelling of the two labels: of P(valid) among both, and
    none where both together have less than `floor`. None where there is nothing finite to go by."""
    score, mass = p_valid(valid_logprobs, invalid_logprobs)
    if score is None:
        return None
    return judged(score, threshold) if mass >= floor else NO_VERDICT


def labelled(*, valid: bool, rationale: str | None = None) -> JudgeScored:
    """The verdict of a judge that named a label and no probability."""
    return JudgeScored(valid=valid, score=None, verdict="valid" if valid else "invalid", rationale=rationale)


class Labels(NamedTuple):
    """score: P(valid) / (P(valid) + P(invalid)), None where that is no number; mass: P(valid) + P(invalid)."""

    score: float | None
    mass: float


def p_valid(valid_logprobs: Iterable[float], invalid_logprobs: Iterable[float]) -> Labels:
    """Of the natural log-probabilities of every spelling of the two labels.

    There is no score where neither label has any probability, or one has a log-probability that is none (NaN or +∞).
    """
    with np.errstate(invalid="ignore"):
        valid = float(np.logaddexp.reduce(np.fromiter(valid_logprobs, float)))
        invalid = float(np.logaddexp.reduce(np.fromiter(invalid_logprobs, float)))
        both = float(np.logaddexp(valid, invalid))
    if not np.isfinite(both):
        return Labels(None, 0.0)
    return Labels(float(np.exp(min(0.0, valid - both))), float(np.exp(min(0.0, both))))


def is_label(token: str, label: str) -> bool:
    """Whether a token spells the label: case and outer white space aside, all of it and nothing else."""
    return token.strip().casefold() == label.strip().casefold()


def described(backend: str, model: str, prompt: JudgePrompt, threshold: float, label_floor: float) -> dict[str, Any]:
    """`readings` and `checks` tell verdicts of this way to judge from those of another, in results and in the cache."""
    return {
        "backend": backend,
        "model": model,
        "prompt": prompt.describe(),
        "threshold": threshold,
        "label_floor": label_floor,
        "readings": READINGS,
        "checks": CHECKS,
    }


def validate_prompt(prompt: JudgePrompt, *, both_orders: bool, samples: int = 1) -> None:
    """Raises `SettingsError` where the prompt cannot be asked in the way that is wanted."""
    if both_orders and not prompt.can_turn:
        raise SettingsError(
            f"scorers.judge.both_orders: {prompt.name!r} has its labels in one order; choose a prompt with "
            "{{first}} and {{second}}, or leave both_orders out"
        )
    if samples > 1 and prompt.asks == "label":
        raise SettingsError(
            f"scorers.judge.samples: {prompt.name!r} asks for a label, whose probability needs no samples; choose a "
            "prompt that asks for a rationale, or leave samples at 1"
        )


class Reading(NamedTuple):
    """What is asked about one reading of a candidate, and numbers that are known of it without asking."""

    questions: tuple[Question, ...]
    facts: tuple[float, ...] = ()


_Readings = tuple[Reading, ...]


class Asking(Protocol):
    """How the verdict on one reading of a candidate is come by."""

    def read(self, prompt: JudgePrompt, *, problem: str, reference: str, candidate: str, gold: str) -> Reading:
        """gold: the answer, or the reference that holds it."""

    def verdict(self, reading: Reading, answers: Sequence[JudgeItem]) -> JudgeItem:
        """Of the answers to the reading's questions, in their order."""


async def judge_groups(
    groups: Sequence[Group],
    prompt: JudgePrompt,
    ask: Callable[[Sequence[Question]], Awaitable[Sequence[JudgeItem]]],
    asking: Asking,
) -> list[JudgeGroup]:
    """One result per candidate; what several candidates' readings ask alike is asked once.

    Candidates that fail for certain (`certain_faults`) ask nobody. Raises `InvalidRequest` where a group lacks its
    problem or reference.
    """
    prepared = await asyncio.to_thread(_prepared, groups, prompt, asking)
    distinct = list(
        dict.fromkeys(
            question
            for group in prepared
            for item in group
            if isinstance(item, tuple)
            for reading in item
            for question in reading.questions
        )
    )
    answers = dict(zip(distinct, await ask(distinct), strict=True))
    return [
        JudgeGroup(
            id=str(group.id),
            candidates=[
                lowest([asking.verdict(reading, [answers[q] for q in reading.questions]) for reading in item])
                if isinstance(item, tuple)
                else item
                for item in items
            ],
        )
        for group, items in zip(groups, prepared, strict=True)
    ]


def settled(*, problem: str, reference: str, candidate: str) -> JudgeItem | None:
    """The result of a candidate about which nobody need be asked; None of any other."""
    if not candidate.strip():
        return Failed.because("blank", "a blank candidate has no reasoning to judge", retryable=False)
    fault = certain_fault(problem=problem, reference=reference, candidate=candidate)
    return None if fault is None else JudgeScored(valid=False, score=0.0, verdict="invalid", rationale=fault)


def lowest(verdicts: Sequence[JudgeItem]) -> JudgeItem:
    """The verdict that counts among those on several readings of one candidate: a failed one, else the lowest score.

    A verdict without a score counts 1 or 0.
    """
    failed = [one for one in verdicts if isinstance(one, Failed)]
    scored = [one for one in verdicts if isinstance(one, JudgeScored)]
    return failed[0] if failed else min(scored, key=lambda one: one.score if one.score is not None else one.valid)


def _prepared(groups: Sequence[Group], prompt: JudgePrompt, asking: Asking) -> list[list[JudgeItem | _Readings]]:
    """For each candidate its readings, or its result where nobody need be asked."""
    prepared: list[list[JudgeItem | _Readings]] = []
    for group in groups:
        problem, reference = group.problem, group.reference
        if problem is None or reference is None:
            raise InvalidRequest(f"group {group.id} needs problem and reference to be judged")
        gold = group.answer or reference
        items: dict[str, JudgeItem | _Readings] = {}
        for text in dict.fromkeys(group.candidates):
            items[text] = settled(problem=problem, reference=reference, candidate=text) or tuple(
                asking.read(prompt, problem=problem, reference=reference, candidate=reading, gold=gold)
                for reading in readings(text, gold, problem=problem)
            )
        prepared.append([items[text] for text in group.candidates])
    return prepared
