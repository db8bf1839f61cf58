"""One group while its members come in, and what is remembered of it once it is settled."""

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import ClassVar

from pydantic import ConfigDict

from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group, Rule
from rewright.service.schema.member import Member, MemberAnswer

Digest = bytes


def digest(*parts: object) -> Digest:
    """16 bytes that stand for texts which need not be kept."""
    hashed = blake2b(digest_size=16)
    for part in parts:
        raw = repr(part).encode("utf-8", "surrogatepass")
        hashed.update(len(raw).to_bytes(8, "big") + raw)
    return hashed.digest()


def shared_of(member: Member) -> Digest:
    """Of all that members of one group agree in."""
    return digest(
        member.size, member.again, member.problem, member.reference, member.answer, member.rule.model_dump_json()
    )


def remembered_as(member: Member) -> str:
    """The key of what is remembered: of a group, or of a member whose group's key comes again."""
    return f"{member.group}\0{member.member}" if member.again else member.group


def size_of(member: Member) -> int:
    """Bytes, about, that its texts hold in memory."""
    return sum(len(text or "") for text in (member.problem, member.reference, member.answer, member.candidate))


@dataclass
class Room:
    """A group that waits for its members, or is being scored. ends: when all are answered, on the loop's clock.

    members: by key, in order of arrival. bytes: held for their texts. over: it takes no more members, and what all are
    told is being settled. answers: of each member, by its key.
    """

    first: Member
    ends: float
    answers: "asyncio.Future[dict[str, Settled]]"
    members: dict[str, Member] = field(default_factory=dict)
    bytes: int = 0
    over: bool = False
    limit: asyncio.Timeout | None = None
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    shared: Digest = b""

    def __post_init__(self) -> None:
        self.shared = shared_of(self.first)

    def holds(self, member: Member) -> bool:
        """Whether this member is here already. Raises `InvalidRequest` for one that cannot be of this group."""
        if shared_of(member) != self.shared:
            raise InvalidRequest(
                "group: its first member came with another size, problem, reference, answer or rule; give every group "
                "a key of its own, with the step in it"
            )
        known = self.members.get(member.member)
        if known is None:
            if self.whole.is_set():
                raise unknown_member(self.first.size)
            return False
        if known.candidate != member.candidate:
            raise other_text()
        return True

    def hurry(self, ends: float) -> None:
        """Answer all by then, where that is sooner and the group still waits: a member has no longer."""
        if ends >= self.ends or self.whole.is_set() or self.over:
            return
        self.ends = ends
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(ends)

    def add(self, member: Member, size: int) -> None:
        """Take a member in; the last one makes the group whole."""
        self.members[member.member] = member
        self.bytes += size
        if len(self.members) == self.first.size:
            self.whole.set()

    def group(self) -> Group:
        """All members as one group, ordered by their keys, so that the order of arrival changes nothing."""
        first = self.first
        return Group(
            id=first.group,
            problem=first.problem,
            reference=first.reference,
            answer=first.answer,
            candidates=[self.members[key].candidate for key in sorted(self.members)],
        )

    @property
    def rule(self) -> Rule:
        return self.first.rule


@dataclass(frozen=True)
class Settled:
    """The answers of a group's members, by key, without their texts.

    whole: False where members never came. agreed: whether all gateways share it.
    """

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")

    shared: Digest
    texts: dict[str, Digest]
    answers: dict[str, MemberAnswer]
    whole: bool
    agreed: bool = False

    def answer(self, member: Member) -> MemberAnswer | None:
        """What this member was told; None for one that came too late. Raises `InvalidRequest` for a key used anew."""
        if shared_of(member) != self.shared:
            raise InvalidRequest(
                "group: a group of this key was settled with another size, problem, reference, answer or rule; give "
                "every group a key of its own, with the step in it"
            )
        text = self.texts.get(member.member)
        if text is None:
            if self.whole:
                raise unknown_member(member.size)
            return None
        if text != digest(member.candidate):
            raise other_text()
        return self.answers[member.member]


def unknown_member(size: int) -> InvalidRequest:
    """For one more than the group has room for."""
    return InvalidRequest(
        f"member: the group is whole with {size} other members; raise size, or give every group a key of its own, with "
        "the step in it"
    )


def other_text() -> InvalidRequest:
    """For a key that came with two texts."""
    return InvalidRequest(
        "member: this member came before with another candidate; give every rollout a key of its own, and every group "
        "one with the step in it"
    )
