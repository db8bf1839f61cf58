"""An item on its way through the pool: whose it is, what it has been through, and whether it may try again."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from rewright.service.core.fair_queue import Entry
from rewright.service.core.workers.process import Failure, Outcome

OWN = frozenset({"overran", "out_of_memory", "died"})
_TRIES = {"killed": 3, "no_worker": 3, "stalled": 2}
"""How often what befalls an item may, before it is given up."""

Late = Callable[[int, Outcome], None]
"""Told, on a thread of the pool, what became of an item after its caller had its outcomes."""


@dataclass(slots=True)
class Call:
    """One `run`: its outcomes in order, who waits for them, and whom to tell of those that come later."""

    outcomes: list[Outcome | None]
    left: int
    late: Late | None
    done: "Future[None]" = field(default_factory=Future)
    over: bool = False


@dataclass(slots=True)
class Item:
    body: bytes
    call: Call
    index: int
    caller: str | None
    entry: Entry["Item"] | None = None
    """Its place in the queue of the lane where it waits."""
    tries: int = 0
    own_failures: int = 0

    @property
    def lane(self) -> str:
        return "slow" if self.tries else "fast"

    @property
    def digest(self) -> bytes:
        """Of what is asked, whoever asks it."""
        return hashlib.blake2b(self.body, digest_size=16).digest()

    def overran_before(self) -> None:
        """As if its first try had just failed."""
        self.tries = self.own_failures = 1

    def may_try_again(self, failure: Failure) -> bool:
        """Notes the failure. An item is past its own limits twice before that is held against it; what befell it is
        tried again too, though not forever: where children are killed one after the other, more are no help."""
        if failure.kind in OWN:
            self.own_failures += 1
            return self.own_failures < 2
        return self.tries < _TRIES.get(failure.kind, 1)


class Place:
    """An item's place in the fast lane, given up once: when the item lingers, or else when it is done."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free
        self._held = True

    def give_up(self) -> None:
        if self._held:
            self._held = False
            self._free()
