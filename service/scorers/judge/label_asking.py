"""The plain way to ask a judge: its own P(valid), or the mean over both orders of the labels and over several samples.

Promises: the score is the mean of the answers' scores, where an answer without one counts 1 or 0; an answer without a
verdict counts 0, and only where all are such is there none; one that failed fails them all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rewright.service.schema import Failed, JudgeScored
from rewright.service.scorers.judge.prompt import JudgePrompt
from rewright.service.scorers.judge.verdicts import JudgeItem, Reading, judged


@dataclass(frozen=True)
class LabelAsking:
    """samples: answers to each question. both_orders: each question also with its labels turned."""

    threshold: float
    samples: int = 1
    both_orders: bool = False

    def read(self, prompt: JudgePrompt, *, problem: str, reference: str, candidate: str, gold: str) -> Reading:
        return Reading(
            tuple(
                prompt.question(
                    problem=problem, reference=reference, candidate=candidate, answer=gold, turned=turned
                )._replace(sample=n)
                for turned in ((False, True) if self.both_orders else (False,))
                for n in range(self.samples)
            )
        )

    def verdict(self, reading: Reading, answers: Sequence[JudgeItem]) -> JudgeItem:
        scored = [one for one in answers if isinstance(one, JudgeScored)]
        failed = [one for one in answers if isinstance(one, Failed)]
        if failed:
            return failed[0]
        if len(scored) == 1 or all(one.verdict == "no_verdict" for one in scored):
            return scored[0]
        scores = [one.score if one.score is not None else float(one.valid) for one in scored]
        verdict = judged(sum(scores) / len(scores), self.threshold)
        agreeing = (one.rationale for one in scored if one.verdict == verdict.verdict and one.rationale)
        return verdict.model_copy(update={"rationale": next(agreeing, None)})
