"""One call of a scoring endpoint: cut into batches, sent at once, joined in order.

A group whose answer holds retryable failures is sent again whole, since its statistics depend on every member. A
failure because something is away or busy is worth waiting for until the deadline has passed; one that may be the text's
own (out of memory, say) is tried `RESENDS` times and then kept as it is. What is left unanswered becomes failed
candidates. A request of which the service finished nothing within its time is cut in two.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from rewright.clients.transport.answers import answer_of
from rewright.clients.transport.batches import cut, first_fix
from rewright.clients.transport.deadline import Deadline
from rewright.clients.transport.retrying import RetryingTransport, TookTooLong
from rewright.clients.transport.task_group import run_all
from rewright.clients.transport.unanswered import unanswered
from rewright.service.backoff import Backoff
from rewright.service.errors import DeadlineExceeded, InternalError, InvalidRequest, OutOfTime
from rewright.service.schema import Answer, Group, GroupScores, ItemError, Rule, ScoreRequest, ServedBy

log = logging.getLogger(__name__)

RESENDS = 3
FIRST_RESEND_S = 0.6
LONGEST_RESEND_S = 20.0
AWAY = frozenset({"scorer_unavailable", "judge_unavailable", "overloaded", "deadline", "deadline_exceeded"})
"""Item codes that tell of a scorer that is away or busy, rather than of this text."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Scores(Generic[Result]):
    """One result per group in the order of the call, and who computed it (the first server that answered)."""

    groups: list[Result]
    served_by: ServedBy


@dataclass(frozen=True)
class BatchLimits:
    """How large one request may be: candidates, and characters of all its texts."""

    candidates: int
    characters: int


class ScoringCall:
    """One call, used once.

    endpoint, answer: the name behind /v1/ and the model of what it answers; slots: bounds the requests under way of all
    calls together; limits: of one request; rule: of the reward; options: fields of the request that are on.
    """

    def __init__(
        self,
        endpoint: str,
        result: type[GroupScores[Any]],
        *,
        transport: RetryingTransport,
        deadline: Deadline,
        slots: asyncio.Semaphore,
        limits: BatchLimits,
        longest_pause_s: float,
        rule: Rule = Rule(),  # noqa: B008
        options: Collection[str] = (),
    ) -> None:
        self._endpoint = endpoint
        self._result = result
        self._answer: type[Answer[Any]] = Answer[result]  # type: ignore[valid-type]
        self._transport = transport
        self._deadline = deadline
        self._slots = slots
        self._limits = limits
        self._resend = Backoff(first_s=FIRST_RESEND_S, longest_s=min(LONGEST_RESEND_S, longest_pause_s))
        self._options: dict[str, Any] = {"rule": rule, **dict.fromkeys(options, True)}
        self._results: dict[str, GroupScores[Any]] = {}
        self._served_by: ServedBy | None = None
        self._passed: DeadlineExceeded | None = None

    async def run(self, groups: Sequence[Group]) -> Scores[Any]:
        """One result per group, in order. Every group has an id already.

        Raises `DeadlineExceeded` only where nothing at all was answered, `InvalidRequest` for groups too large for an
        option, and what `RetryingTransport.ask` raises otherwise.
        """
        batches = cut(groups, candidates=self._limits.candidates, characters=self._limits.characters)
        await run_all([self._settle(batch) for batch in batches])
        if self._served_by is None:
            raise self._passed or DeadlineExceeded(
                f"the service did not answer within the client's {self._deadline.named()}"
            )
        message = self._passed.message if self._passed else "not answered"
        self._warn(groups, message)
        error = ItemError(code=DeadlineExceeded.code, message=message, retryable=True)
        results = [self._results.get(g.id or "") or unanswered(self._result, g, error) for g in groups]
        return Scores(results, self._served_by)

    def _warn(self, groups: Sequence[Group], message: str) -> None:
        """Tell of what comes back unfinished, once per call."""
        absent = sum(g.id not in self._results for g in groups)
        late = sum(OutOfTime.code in retryable_codes(result) for result in self._results.values())
        if absent:
            log.warning("/v1/%s: %d of %d groups come back without an answer: %s",
                        self._endpoint, absent, len(groups), message)  # fmt: skip
        if late:
            log.warning(
                "/v1/%s: %d of %d groups come back unfinished (code `%s`): the service did not get them done within "
                "the X-Deadline-Ms that request_s and %s allow; raise those, or send fewer groups per call",
                self._endpoint, late, len(groups), OutOfTime.code, self._deadline.named(),
            )  # fmt: skip

    async def _settle(self, groups: list[Group]) -> None:
        resent = 0
        while groups:
            try:
                answer = await self._send(groups)
            except TookTooLong:
                await self._settle_halves(groups)
                return
            except DeadlineExceeded as passed:
                self._passed = passed
                return
            again = [g for g, new in zip(groups, answer, strict=True) if self._keep(new, resent)]
            if len(again) < len(groups):
                self._deadline.progress()
            elif len(groups) > 1 and all(OutOfTime.code in retryable_codes(new) for new in answer):
                # As large a request again would end as this one did.
                await self._settle_halves(groups)
                return
            pause = self._resend.pause(resent + 1)
            if not again or pause >= self._deadline.left():
                return
            await asyncio.sleep(pause)
            groups = again
            resent += 1

    async def _settle_halves(self, groups: list[Group]) -> None:
        middle = len(groups) // 2
        await run_all([self._settle(groups[:middle]), self._settle(groups[middle:])])

    async def _send(self, groups: list[Group]) -> list[GroupScores[Any]]:
        try:
            request = ScoreRequest(groups=groups, **self._options)
        except ValidationError as error:
            raise InvalidRequest(first_fix(error)) from None
        body = request.model_dump_json(exclude_none=True).encode()
        path = f"/v1/{self._endpoint}"
        asked = [(g.id, len(g.candidates)) for g in groups]

        def read(content: bytes) -> Answer[Any]:
            answer = answer_of(self._answer, content, path)
            if asked != [(result.id, len(result.candidates)) for result in answer.groups]:
                raise InternalError(f"{path} answered other groups than it was asked for")
            return answer

        async with self._slots:
            answer = await self._transport.ask("POST", path, body, read=read, may_cut=len(groups) > 1)
        self._served_by = self._served_by or answer.served_by
        return list(answer.groups)

    def _keep(self, new: GroupScores[Any], resent: int) -> bool:
        """Note the better of the old and the new answer; true where the group should be sent again."""
        old = self._results.get(new.id)
        if old is None or len(retryable_codes(new)) <= len(retryable_codes(old)):
            self._results[new.id] = new
        codes = retryable_codes(new)
        return bool(codes) and (resent < RESENDS or not AWAY.isdisjoint(codes))


def retryable_codes(group: GroupScores[Any]) -> list[str]:
    """The codes of the group's retryable failures, one per candidate that failed so."""
    return [c.error.code for c in group.candidates if c.status == "failed" and c.error.retryable]
