"""Answers ↔ their grading, beside the generator: while answers are written, those before are graded.

Only what an answer states is graded (`rewright.trainer.evaluate.stated`): options by their letters and texts right
here, other values by the service's verifier, which is sent the problem, and the options where there are some.

Promises: a verdict is written as soon as it is there; an answer that states nothing is `unstated`: not right, and not
wrong either; one that could not be verified for a reason that passes (a service that is away) has no verdict and is
asked for again by the next run; one that never can be (a gold answer that nobody can read, a question that does not fit
into the model's window) is kept as `failed` with its code: it is no wrong answer.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.trainer.evaluate.benchmarks import Question, option_lines
from rewright.trainer.evaluate.folder import JsonLines
from rewright.trainer.evaluate.stated import LETTERS, same_option, stated_option, stated_value

AT_ONCE = 32
UNSTATED = "unstated"
BAD_GOLD = "bad_gold"
"""The one code that tells of the question; any other tells of the service, whether it calls itself final or not."""
_NOT_ASKED = {
    "status": "failed",
    "error": {
        "code": "prompt_too_long",
        "message": "the question does not fit into the model's window",
        "retryable": False,
    },
}


class AnswerChecks:
    """Leaving it waits for what is under way. `trouble` says why answers have no verdict, if there are any."""

    def __init__(self, client: RewardClient, verdicts: JsonLines, questions: Mapping[str, Question]) -> None:
        self._client = client
        self._verdicts = verdicts
        self._questions = questions
        self._waiting: list[dict[str, Any]] = []
        self._under_way: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.trouble: str | None = None

    def add(self, generation: dict[str, Any]) -> None:
        self._waiting.append(generation)
        if len(self._waiting) >= AT_ONCE:
            self._send()

    def __enter__(self) -> "AnswerChecks":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if kind is None:
            self._send()
        self._thread.shutdown(wait=True, cancel_futures=kind is not None)
        for done in self._under_way:
            if not done.cancelled():
                done.result()

    def _send(self) -> None:
        if self._waiting:
            self._under_way.append(self._thread.submit(self._check, self._waiting))
            self._waiting = []

    def _check(self, generations: Sequence[dict[str, Any]]) -> None:
        if self.trouble is not None:  # one patience is enough
            return
        rows: list[dict[str, Any]] = []
        groups: list[Any] = []
        for generation in generations:
            known, asked = _graded(generation, self._questions[generation["id"]])
            rows += [known] if known is not None else []
            groups += [asked] if asked is not None else []
        self._verdicts.append(rows)
        if not groups:
            return
        try:
            scores = self._client.verify(groups)
        except RewrightError as error:
            self.trouble = error.message
            return
        rows = []
        for group in scores.groups:
            item, question = group.candidates[0], self._questions[group.id]
            if item.status == "scored":
                verdict = UNSTATED if item.verdict == "no_answer" else item.verdict
                rows.append({"id": group.id, **item.model_dump(mode="json"), "verdict": verdict})
            elif item.error.code != BAD_GOLD:
                self.trouble = item.error.message
            elif question.options is not None:  # its text is no value, so that no value equals it
                rows.append(_verdict(group.id, "wrong", None))
            else:
                rows.append({"id": group.id, **item.model_dump(mode="json")})
        self._verdicts.append(rows)


def _graded(generation: Mapping[str, Any], question: Question) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The verdict where none need be asked for, or the group that is asked for one."""
    name, text, cut = generation["id"], generation["text"], generation["finish_reason"] == "length"
    if generation["finish_reason"] == "prompt_too_long":
        return _NOT_ASKED | {"id": name}, None
    if question.options is None:
        said = stated_value(text, cut=cut)
        if said is None:
            return _verdict(name, UNSTATED, None), None
        return None, {"id": name, "problem": question.question, "answer": question.answer, "candidates": [said]}
    choice = stated_option(text, question.options, cut=cut)
    if choice is None:
        return _verdict(name, UNSTATED, None), None
    if choice.is_open:
        problem = f"{question.question}\n\n{option_lines(question)}"
        gold = question.options[LETTERS.index(question.answer)]
        return None, {"id": name, "problem": problem, "answer": gold, "candidates": [choice.said]}
    right = choice.letter is not None and same_option(choice.letter, question.answer, question.options)
    return _verdict(name, "correct" if right else "wrong", choice.letter), None


def _verdict(name: str, verdict: str, extracted: str | None) -> dict[str, Any]:
    return {
        "id": name,
        "status": "scored",
        "correct": verdict == "correct",
        "verdict": verdict,
        "extracted": extracted,
    }
