"""Answers ↔ the service's verifier, beside the generator: while answers are written, those before are checked.

Promises: a verdict is written as soon as it is there; an answer that could not be verified for a reason that passes (a
service that is away) has no verdict and is asked for again by the next run; one that never can be (a gold answer that
nobody can read, a question that does not fit into the model's window) is kept as `failed` with its code: it is no wrong
answer.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.trainer.evaluate.benchmarks import Question
from rewright.trainer.evaluate.folder import JsonLines

AT_ONCE = 32
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
        rows = [_NOT_ASKED | {"id": g["id"]} for g in generations if g["finish_reason"] == "prompt_too_long"]
        groups: list[Any] = [
            {"id": g["id"], "answer": self._questions[g["id"]].answer, "candidates": [g["text"]]}
            for g in generations
            if g["finish_reason"] != "prompt_too_long"
        ]
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
            item = group.candidates[0]
            if item.status == "failed" and item.error.code != BAD_GOLD:
                self.trouble = item.error.message
            else:
                rows.append({"id": group.id, **item.model_dump(mode="json")})
        self._verdicts.append(rows)
