"""Rewards for callers that hold one member of a group: sent alone, answered when the group is whole.

    meeting = Rendezvous(["http://gateway-a:8000", "http://gateway-b:8000"])
    answer = meeting.reward(group="step 7, problem 3", size=4, member="0", problem=…, reference=…, candidate=…)
    answer.candidate.total      # None where there is no reward

All members of a group go to one gateway, found by the group's key (rendezvous hashing), so that nothing is shared
between gateways. Where it is away or leaving, all go to the next one. A call is sent in pieces of at most `piece_s`,
each of which begins at the first gateway again, so that members who were parted meet; repeating a call changes nothing,
since the service knows a member by its key.

Every call is answered in time: with the member's result, with `incomplete_group` where siblings never came, or
with an error of `rewright.service.errors`. None of them is a number. Picklable; no connection outlives its call.

**A gateway that dies between its answers to one group.** Where the gateways share a store (`cache.redis_url`), the next
one tells the other members what was settled. Without it nobody can know what the siblings were told, so a member that
may be seated at a lost gateway is never told "no reward" by another one: `PartedGroup`, retryable, is raised.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from pydantic import ValidationError

from rewright.clients.http_client import CONNECT_S, tls
from rewright.clients.transport.background_loop import BackgroundLoop
from rewright.clients.transport.batches import first_fix, parsed_rule
from rewright.clients.transport.errors import Chance, chance_of, error_of
from rewright.clients.transport.replicas import base_urls_of
from rewright.clients.transport.seats import Seats
from rewright.service.backoff import Backoff
from rewright.service.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidRequest,
    Overloaded,
    RewrightError,
    ScorerUnavailable,
    ServiceError,
)
from rewright.service.schema import Rule
from rewright.service.schema.member import Member, MemberAnswer

log = logging.getLogger(__name__)
PATH = "/v1/rendezvous/reward"
MARGIN_S = 0.5
"""The group's deadline at the service comes so much before the caller's own, so that what is stated can be read."""
BACKOFF = Backoff(first_s=0.1, longest_s=2.0)


class PartedGroup(ServiceError):
    """A gateway was lost with a member seated at it, and its siblings may have rewards that no other one knows."""

    code = "parted_group"
    status = 503
    retryable = True


class AsyncRendezvous:
    """base_urls: the gateways; deadline_s: of a group; piece_s: longest wait for one request.

    patience_s: how long what may pass is asked again, in rounds of deadline_s; None: one round.
    """

    def __init__(
        self,
        base_urls: str | Sequence[str],
        *,
        rule: Rule | Mapping[str, Any] | None = None,
        api_key: str | None = None,
        deadline_s: float = 100.0,
        piece_s: float = 15.0,
        patience_s: float | None = None,
    ) -> None:
        if deadline_s <= 2 * MARGIN_S or piece_s <= 0:
            raise InvalidRequest(f"deadline_s must be more than {2 * MARGIN_S:g} and piece_s more than 0")
        self._urls = base_urls_of(base_urls)
        self._rule = parsed_rule(rule)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._deadline_s = deadline_s
        self._piece_s = piece_s
        self._patience_s = deadline_s if patience_s is None else patience_s

    async def reward(
        self,
        *,
        group: str,
        size: int,
        member: str,
        candidate: Any,
        problem: str | None = None,
        reference: str | None = None,
        answer: str | None = None,
        again: bool = False,
    ) -> MemberAnswer:
        """The member's answer. group: a key that no other group ever has; member: a key that a repeat has too.

        again: the group's key comes again, and the member's never does.

        Raises `InvalidRequest` and what else the service refuses, `DeadlineExceeded` where nobody answered in time, and
        `PartedGroup`.
        """
        patient_until = time.monotonic() + self._patience_s
        try:
            asked = Member(
                group=group,
                size=size,
                member=member,
                problem=problem,
                reference=reference,
                answer=answer,
                candidate=candidate,
                rule=self._rule,
                again=again,
            )
        except ValidationError as error:
            raise InvalidRequest(first_fix(error)) from None
        urls = sorted(self._urls, key=lambda url: hashlib.blake2b(f"{group}\0{url}".encode()).digest())
        async with httpx.AsyncClient(
            headers=self._headers, timeout=httpx.Timeout(None, connect=CONNECT_S), verify=tls()
        ) as http:
            seats = Seats()
            while True:
                ends = time.monotonic() + self._deadline_s
                try:
                    return await _answered(http, urls, asked, seats, ends=ends, piece_s=self._piece_s)
                except RewrightError as error:
                    if not error.retryable or time.monotonic() + 2 * MARGIN_S > patient_until:
                        raise
                    log.warning("%s; asking again", error.message)


class Rendezvous:
    """The same for sync code, from any thread, inside a running loop too."""

    def __init__(self, base_urls: str | Sequence[str], **options: Any) -> None:
        self._meeting = AsyncRendezvous(base_urls, **options)
        self._loop = BackgroundLoop()

    def reward(self, **member: Any) -> MemberAnswer:
        """As `AsyncRendezvous.reward`."""
        return self._loop.run(self._meeting.reward(**member))

    def __getstate__(self) -> dict[str, Any]:
        return {"_meeting": self._meeting}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._loop = BackgroundLoop()


async def _answered(
    http: httpx.AsyncClient, urls: Sequence[str], asked: Member, seats: Seats, *, ends: float, piece_s: float
) -> MemberAnswer:
    """One round. `PartedGroup` and `DeadlineExceeded` come at its end."""
    failures = 0
    trouble: RewrightError = DeadlineExceeded("no gateway was asked in time")
    while (left := ends - time.monotonic()) > MARGIN_S:
        began, pause_s, may_pass = time.monotonic(), 0.0, False
        # A connection lost once must not part a member from its siblings.
        for url in (urls[0], *urls):
            sent = time.monotonic()
            left = ends - sent
            try:
                # The last piece holds the group's deadline, at which the answer is stated.
                seconds = piece_s if left - piece_s > 4 * MARGIN_S else left
                response = await _posted(http, url, asked, left=left, seconds=seconds)
            except (httpx.TransportError, TimeoutError) as error:
                trouble, may_pass = ScorerUnavailable(f"{url}: {type(error).__name__}"), True
                if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    seats.lost(url, sent)
                continue
            heard = _heard(response, url, sent, seats)
            if isinstance(heard, MemberAnswer):
                return heard
            trouble = heard
            if chance_of(response) is Chance.FINAL:
                raise trouble
            may_pass = may_pass or trouble.retryable
            # The piece is over, or it is full there: at another gateway the member would be alone.
            if isinstance(trouble, DeadlineExceeded | Overloaded | PartedGroup):
                pause_s = getattr(trouble, "retry_after", 0.0)
                break
        if not may_pass:
            raise trouble
        waited = isinstance(trouble, DeadlineExceeded) and time.monotonic() - began > piece_s / 2
        failures = 0 if waited else failures + 1
        if not waited:
            pause_s = BACKOFF.pause(failures, asked_s=pause_s)
            await asyncio.sleep(min(pause_s, max(0.0, ends - time.monotonic())))
    if isinstance(trouble, PartedGroup):
        raise trouble
    raise DeadlineExceeded(f"no answer for a member of a group in time: {trouble.message}")


def _heard(response: httpx.Response, url: str, sent: float, seats: Seats) -> MemberAnswer | RewrightError:
    if response.status_code == httpx.codes.OK:
        answer = _read(response, url)
        if not answer.failed or answer.agreed or not seats.elsewhere(url, response):
            return answer
        return _parted(url)
    trouble = error_of(response, url)
    if isinstance(trouble, DeadlineExceeded):
        seats.keeps(url, sent, response)
    elif isinstance(trouble, ScorerUnavailable):
        seats.gave_up(url, response)
    return trouble


def _parted(url: str) -> PartedGroup:
    return PartedGroup(
        f"{url}: this member's group is not whole here, and a gateway where it was may have rewarded the others; give "
        "all gateways one cache.redis_url, and what was settled is known to all"
    )


async def _posted(http: httpx.AsyncClient, url: str, asked: Member, *, left: float, seconds: float) -> httpx.Response:
    body = asked.model_copy(update={"deadline_s": max(left - MARGIN_S, MARGIN_S)})
    headers = {"Content-Type": "application/json", "X-Deadline-Ms": str(max(1, int(seconds * 1000)))}
    # The service answers at its deadline; a little more than that is a dead connection.
    async with asyncio.timeout(seconds + MARGIN_S):
        return await http.post(f"{url}{PATH}", content=body.model_dump_json(exclude_none=True), headers=headers)


def _read(response: httpx.Response, url: str) -> MemberAnswer:
    try:
        return MemberAnswer.model_validate_json(response.content)
    except ValidationError as error:
        raise InternalError(f"{url}: answered what cannot be read: {first_fix(error)}") from None
