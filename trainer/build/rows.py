"""One row of a built dataset: the pair that SFT trains on, where it comes from, and every number that is known of it.

    id, prompt, completion          TRL's conversational form: the loss falls on the completion alone
    origin                          rewrite, self_solve, guided_solve or reference (the fallback y* of eq. 14)
    gate … signals                  components of the completion as /v1/reward gave them, in the group of all that was
                                    asked for at once; of a reference only nll is known, since nobody judges it
    n_tokens, reference_n_tokens    of completion and y*, π0's tokens without the end of turn
    reference_nll                   eq. 6 of y*, whatever was kept
    attempts                        every candidate that was written, in order, with its text and verdict
    k, tokens_written               how many these are, and their tokens: what the row cost
    reference, answer, source, …    y*, the gold answer, the source's name, and hashes of what wrote the row

A row is a function of the sample and of what model and service said: no clock, no machine, no order of arrival.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from rewright.clients.wire import RewardScored, Signals
from rewright.trainer.data.samples import Sample
from rewright.trainer.generation.base import Answered

Origin = Literal["rewrite", "self_solve", "guided_solve", "reference"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
COMPONENTS = ("gate", "r_task", "v_ans", "v_rea", "nll", "nll_z", "r_dist", "r_div", "total", "signals")


@dataclass(frozen=True)
class Attempt:
    """One candidate and what the service said of it."""

    step: Origin
    text: str
    n_tokens: int
    finish_reason: str
    scores: dict[str, Any]

    @property
    def passed(self) -> bool:
        return bool(self.scores["r_task"] == 1)


class ReferenceNll(NamedTuple):
    """None where y* has no NLL under π0 (longer than its window, say)."""

    nll: float | None


def attempt_of(step: Origin, answered: Answered, scored: RewardScored) -> Attempt:
    scores = scored.model_dump(include=set(COMPONENTS))
    return Attempt(step, answered.text, answered.n_tokens, answered.finish_reason, {n: scores[n] for n in COMPONENTS})


def best(attempts: Sequence[Attempt]) -> Attempt | None:
    """Of those that passed the one with the largest total; of equal ones that with the smallest NLL, then the first."""

    def rank(attempt: Attempt) -> tuple[float, float]:
        nll = attempt.scores["nll"]
        return -float(attempt.scores["total"]), math.inf if nll is None else float(nll)

    return min((attempt for attempt in attempts if attempt.passed), key=rank, default=None)


def row_of(
    sample: Sample,
    attempts: Sequence[Attempt],
    reference: ReferenceNll,
    *,
    provenance: dict[str, Any],
    tokens_of: Callable[[str], int],
) -> dict[str, Any]:
    """The best attempt that passed, else the reference (eq. 14)."""
    kept = best(attempts)
    completion = kept.text if kept else sample.reference
    # A struct of nulls, so that files read by their own rows alone agree in their types whatever the method.
    nothing = dict.fromkeys(COMPONENTS) | {"signals": dict.fromkeys(Signals.model_fields)}
    return {
        "id": sample.id,
        "prompt": [{"role": "user", "content": sample.problem}],
        "completion": [{"role": "assistant", "content": completion}],
        "origin": kept.step if kept else "reference",
        **(kept.scores if kept else nothing | {"nll": reference.nll}),
        "n_tokens": tokens_of(completion),
        "reference_nll": reference.nll,
        "reference_n_tokens": tokens_of(sample.reference),
        "attempts": [asdict(attempt) for attempt in attempts],
        "k": len(attempts),
        "tokens_written": sum(attempt.n_tokens for attempt in attempts),
        "reference": sample.reference,
        "answer": sample.answer,
        "source": sample.source,
        "provenance": provenance,
    }


def as_line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
