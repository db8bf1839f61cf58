"""What several gateways tell the members of one group is the same, by a store that they share.

Whoever settles a group writes it there before a member is told, and only where nobody was first; who comes second tells
what was written. So a gateway that dies between its answers leaves them to the others, and a group is never scored for
some members and incomplete for the rest.

Not covered: a store that does not answer, or lost what it held, when the group was settled and when it is asked for. A
gateway then settles for itself, and says so by `agreed: false`.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from rewright.service.rendezvous.room import Settled, remembered_as, shared_of
from rewright.service.schema.member import Member

log = logging.getLogger(__name__)
_RECORD = TypeAdapter(Settled)


class Store(Protocol):
    """`rewright.service.scorers.caching.store`: bytes by key; nothing raises."""

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]: ...

    async def put_new(self, values: Mapping[bytes, bytes], *, kept_s: float) -> bool | None: ...


class Agreement:
    """kept_s: how long what was settled can be found."""

    def __init__(self, store: Store, *, kept_s: float) -> None:
        self._store = store
        self._kept_s = kept_s

    async def found(self, member: Member) -> Settled | None:
        """What any gateway settled for this member's group."""
        (record,) = await self._store.get([_key(member)])
        return _read(record)

    async def settled(self, members: Mapping[str, Member], mine: Settled) -> dict[str, Settled]:
        """What each of these members of one group is told, by its key: `mine`, unless another gateway was first."""
        keys = {name: _key(member) for name, member in members.items()}
        answers = {name: answer.model_copy(update={"agreed": True}) for name, answer in mine.answers.items()}
        shared = replace(mine, answers=answers, agreed=True)
        records = {keys[name]: _record(shared, member) for name, member in members.items()}
        stored = await self._store.put_new(records, kept_s=self._kept_s)
        if stored is None:
            return dict.fromkeys(members, mine)
        if stored:
            return dict.fromkeys(members, shared)
        known = dict(zip(keys, map(_read, await self._store.get(list(keys.values()))), strict=True))
        if not any(known.values()):
            return dict.fromkeys(members, mine)
        # Of a key that comes again a member may have been told elsewhere that its group is not whole: then the others
        # are told so too.
        nothing = replace(shared, texts={}, answers={}, whole=False)
        return {name: settled or nothing for name, settled in known.items()}


def _key(member: Member) -> bytes:
    """By all that members of a group agree in, so that users of one store do not meet by chance."""
    name = remembered_as(member).encode("utf-8", "surrogatepass")
    return b"rewright:group:" + hashlib.blake2b(name, key=shared_of(member), digest_size=20).hexdigest().encode()


def _record(settled: Settled, member: Member) -> bytes:
    """Of the whole group, or of this member alone where the group's key comes again."""
    if member.again:
        name = member.member
        settled = replace(settled, texts={name: settled.texts[name]}, answers={name: settled.answers[name]})
    return _RECORD.dump_json(settled, warnings=False)


def _read(record: bytes | None) -> Settled | None:
    if record is None:
        return None
    try:
        return _RECORD.validate_json(record)
    except ValidationError:
        log.warning("what another gateway settled cannot be read here; is its version another?")
        return None
