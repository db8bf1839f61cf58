"""Members of a group come one at a time, and are answered when the group is whole and scored.

- A group is scored once, as the batched endpoint scores it. A repeated call joins its group, or gets its answer again.
- A group has one deadline, the soonest of its members'. One that is not whole by then is settled all the same: every
  member, also one that comes later, is told `incomplete_group`, which is no reward and no number.
- Failures that may pass are scored again, the group as a whole, until the deadline; callers see the last result.
- Callers may leave: their member stays, and a repeat finds it.
- Memory is bounded: members that wait by `rendezvous.members` and by `limits.waiting_mb`, what is settled by
  `rendezvous.remembered` and `rendezvous.remember_s`. Settled groups hold no text.
- Where gateways share a store, they tell the members of a group the same (`rewright.service.rendezvous.agreement`).
- At the end of the process groups that are not whole are told at once to go elsewhere; those that are, are answered.

Not covered: several processes. Members of a group must come to one (`rewright.clients.rendezvous` sees to it); a store
that they share only finds what was settled.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

from rewright.service.backoff import Backoff
from rewright.service.core.admission import Admission
from rewright.service.errors import InternalError, Overloaded, RewrightError, ScorerUnavailable
from rewright.service.rendezvous.agreement import Agreement
from rewright.service.rendezvous.room import Room, Settled, digest, remembered_as, size_of
from rewright.service.schema import Group, ItemError, RewardAnswer, Rule
from rewright.service.schema.member import INCOMPLETE, Alone, Member, MemberAnswer

Score = Callable[[Group, Rule, float], Awaitable[RewardAnswer]]
"""Scores one group within so many seconds; raises `RewrightError`."""
BACKOFF = Backoff(first_s=0.25, longest_s=5.0)
SHORTEST_TRY_S = 0.5
"""Less time than this is not worth scoring again."""


class Lobby:
    """deadline_s: of a group whose members name none; most_members, remembered, remember_s: see the module.

    agreement: with other gateways; None where there is no store to share.
    """

    def __init__(
        self,
        score: Score,
        admission: Admission,
        *,
        deadline_s: float,
        most_members: int,
        remembered: int,
        remember_s: float,
        agreement: Agreement | None = None,
    ) -> None:
        self._score = score
        self._admission = admission
        self._deadline_s = deadline_s
        self._most_members = most_members
        self._most_remembered = remembered
        self._remember_s = remember_s
        self._agreement = agreement
        self._rooms: dict[str, Room] = {}
        self._inside: dict[int, Room] = {}
        self._seats: dict[tuple[str, str], Room] = {}
        self._settled: dict[str, Settled] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.members = 0
        self.remembered = 0
        self.outcomes: Counter[str] = Counter()
        admission.on_closing(self.close)

    @property
    def waiting(self) -> int:
        """Groups that are not settled."""
        return len(self._inside)

    async def join(self, member: Member) -> MemberAnswer:
        """The member's answer, once its group is settled. Cancelled, it leaves the member in its group.

        Raises `InvalidRequest` for a member that cannot be of its group, `Overloaded` where too many wait,
        `ScorerUnavailable` while the process ends, and what scoring the group raised.
        """
        if (told := self._told(member)) is not None:
            return told
        if self._agreement is not None and not self._being_scored(member):
            if (settled := await self._agreement.found(member)) is not None:
                self._remember(remembered_as(member), settled)
            if (told := self._told(member)) is not None:
                return told
        room = self._seats.get((member.group, member.member)) or self._rooms.get(member.group)
        if room is not None and room.over and member.member not in room.members:
            await asyncio.wait([room.answers])
            return await self.join(member)
        if room is not None and room.holds(member):
            self.outcomes["repeated"] += 1
        else:
            room = self._seated(member, room)
        room.hurry(self._ends(member))
        settled = (await asyncio.shield(room.answers))[member.member]
        return settled.answer(member) or _alone(member, len(settled.texts), agreed=settled.agreed)

    def close(self) -> None:
        """Take no more; groups that are not whole are told to go elsewhere."""
        for room in list(self._inside.values()):
            if not room.whole.is_set():
                self._leave(room)
                self.outcomes["turned_away"] += 1
                if not room.answers.done():
                    room.answers.set_exception(_ending())

    def _told(self, member: Member) -> MemberAnswer | None:
        """From memory."""
        settled = self._settled.get(remembered_as(member))
        if settled is None:
            return None
        self.outcomes["repeated" if member.member in settled.answers else "late"] += 1
        return settled.answer(member) or _alone(member, len(settled.texts), agreed=settled.agreed)

    def _being_scored(self, member: Member) -> bool:
        room = self._seats.get((member.group, member.member))
        return room is not None and room.whole.is_set()

    def _seated(self, member: Member, room: Room | None) -> Room:
        if self._admission.closing:
            raise _ending()
        if self.members >= self._most_members:
            raise Overloaded(
                f"{self.members} members of groups wait, the most that rendezvous.members allows", retry_after=1.0
            )
        size = size_of(member)
        self._admission.hold(size, own=0)
        if room is None:
            room = self._opened(member)
        room.add(member, size)
        self._seats[member.group, member.member] = room
        if member.again and room.whole.is_set():
            # The next with this key begins a group of its own.
            del self._rooms[member.group]
        self.members += 1
        return room

    def _opened(self, member: Member) -> Room:
        loop = asyncio.get_running_loop()
        room = Room(member, self._ends(member), loop.create_future())
        # Nobody may be there any more to hear of an error.
        room.answers.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._rooms[member.group] = self._inside[id(room)] = room
        task = loop.create_task(self._run(room))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return room

    def _ends(self, member: Member) -> float:
        return asyncio.get_running_loop().time() + (member.deadline_s or self._deadline_s)

    async def _run(self, room: Room) -> None:
        try:
            async with asyncio.timeout_at(room.ends) as room.limit:
                await room.whole.wait()
            settled = await self._scored(room)
        except TimeoutError:
            settled = self._incomplete(room)
        except RewrightError as error:
            self._leave(room)
            self.outcomes[error.code] += 1
            if not room.answers.done():
                room.answers.set_exception(error)
            return
        room.over = True
        agreed = dict.fromkeys(room.members, settled)
        elsewhere = False
        if self._agreement is not None:
            agreed = await self._agreement.settled(room.members, settled)
            elsewhere = any(told.texts != settled.texts or told.whole != settled.whole for told in agreed.values())
        self._leave(room)
        if room.answers.done():
            return
        self.outcomes["elsewhere" if elsewhere else "whole" if settled.whole else INCOMPLETE] += 1
        for key, member in room.members.items():
            self._remember(remembered_as(member), agreed[key])
        room.answers.set_result(agreed)

    async def _scored(self, room: Room) -> Settled:
        """Scored, and again while failures may pass and time is left."""
        clock = asyncio.get_running_loop().time
        group, tries = room.group(), 0
        while True:
            tries += 1
            answer: RewardAnswer | None = None
            trouble: RewrightError | None = None
            try:
                answer = await self._score(group, room.rule, max(room.ends - clock(), SHORTEST_TRY_S))
            except RewrightError as error:
                trouble = error
            if answer is not None and not _may_pass(answer):
                return _settled(room, answer)
            if trouble is not None and (not trouble.retryable or self._admission.closing):
                raise trouble
            asked_s = trouble.retry_after if isinstance(trouble, Overloaded) else 0.0
            pause = BACKOFF.pause(tries, asked_s=asked_s)
            if clock() + pause + SHORTEST_TRY_S > room.ends:
                if answer is not None:
                    return _settled(room, answer)
                assert trouble is not None  # noqa: S101
                raise trouble
            await asyncio.sleep(pause)

    def _incomplete(self, room: Room) -> Settled:
        here = len(room.members)
        answers = {key: _alone(member, here, agreed=False) for key, member in room.members.items()}
        return Settled(room.shared, _texts(room), answers, whole=False)

    def _leave(self, room: Room) -> None:
        if self._inside.pop(id(room), None) is not None:
            if self._rooms.get(room.first.group) is room:
                del self._rooms[room.first.group]
            for key in room.members:
                del self._seats[room.first.group, key]
            self._admission.release(room.bytes)
            self.members -= len(room.members)

    def _remember(self, key: str, settled: Settled) -> None:
        if key in self._settled:
            return
        self._settled[key] = settled
        self.remembered = len(self._settled)
        while self.remembered > self._most_remembered:
            self._forget(next(iter(self._settled)))
        asyncio.get_running_loop().call_later(self._remember_s, self._forget, key, settled)

    def _forget(self, key: str, only: Settled | None = None) -> None:
        settled = self._settled.get(key)
        if settled is not None and (only is None or settled is only):
            del self._settled[key]
            self.remembered = len(self._settled)


def _settled(room: Room, answer: RewardAnswer) -> Settled:
    (group,) = answer.groups
    if len(group.candidates) != len(room.members):
        raise InternalError("a group was answered with another number of candidates than it has")
    answers = {
        key: MemberAnswer.model_construct(
            group=room.first.group,
            member=key,
            candidate=item,
            size=len(group.candidates),
            feasible=group.feasible,
            failed=group.failed,
            nll_mean=group.nll_mean,
            nll_std=group.nll_std,
            diversity=group.diversity,
            served_by=answer.served_by,
        )
        for key, item in zip(sorted(room.members), group.candidates, strict=True)
    }
    return Settled(room.shared, _texts(room), answers, whole=True)


def _texts(room: Room) -> dict[str, bytes]:
    return {key: digest(member.candidate) for key, member in room.members.items()}


def _alone(member: Member, here: int, *, agreed: bool) -> MemberAnswer:
    error = ItemError(
        code=INCOMPLETE,
        message=f"{here} of {member.size} members of the group were here at its deadline; leave the whole group out, "
        "or allow more by deadline_s",
        retryable=False,
    )
    return MemberAnswer(
        group=member.group,
        member=member.member,
        candidate=Alone(error=error),
        size=member.size,
        feasible=0,
        failed=member.size,
        agreed=agreed,
    )


def _may_pass(answer: RewardAnswer) -> bool:
    items: Sequence[object] = answer.groups[0].candidates
    return any(getattr(getattr(item, "error", None), "retryable", False) for item in items)


def _ending() -> ScorerUnavailable:
    return ScorerUnavailable("this process is shutting down; send the request again")
