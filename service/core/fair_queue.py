"""A queue in which nobody waits behind the whole of somebody else's work.

Half of the picks go to the item that has waited longest, half to the caller that has been served least; a newcomer
counts as served a little less than anyone waiting (`head_start`), so that a small request among large ones is picked
next, while the picks by age keep any number of small ones from starving a large one. The items of one caller keep their
order. Every operation takes O(log callers) on average.

Not thread-safe: whoever shares it holds a lock. Knows nothing of what it queues.
"""

import heapq
import time
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Entry(Generic[Item]):
    """One waiting item. `caller` and `gone` belong to the queue."""

    item: Item
    cost: int
    caller: "_Caller[Item]"
    since: float
    gone: bool = False


@dataclass(slots=True, eq=False)
class _Caller(Generic[Item]):
    key: Hashable
    served: float
    waiting: "deque[Entry[Item]]" = field(default_factory=deque)


class FairQueue(Generic[Item]):
    """head_start: cost that a newcomer may have served before it counts like those already waiting."""

    def __init__(self, *, head_start: float) -> None:
        self._head_start = head_start
        self._by_age: deque[Entry[Item]] = deque()
        self._callers: dict[Hashable, _Caller[Item]] = {}
        self._least: list[tuple[float, int, _Caller[Item]]] = []
        self._number = 0
        self._level = 0.0
        self._age_next = True
        self._items = 0
        self.cost = 0

    def __len__(self) -> int:
        return self._items

    def push(self, caller: Hashable, item: Item, cost: int) -> Entry[Item]:
        """Queue the item; the entry takes it out again (`take`)."""
        known = self._callers.get(caller)
        if known is None:
            known = self._callers[caller] = _Caller(caller, self._level - self._head_start)
            self._number += 1
            heapq.heappush(self._least, (known.served, self._number, known))
        entry = Entry(item, cost, known, time.monotonic())
        known.waiting.append(entry)
        self._by_age.append(entry)
        self._items += 1
        self.cost += cost
        return entry

    def peek(self) -> Entry[Item] | None:
        """The entry whose turn it is; None when empty. The same until something is taken or pushed."""
        _drop_gone(self._by_age)
        if not self._by_age:
            return None
        return self._by_age[0] if self._age_next else self._least_served()

    def next_of(self, entry: Entry[Item]) -> Entry[Item] | None:
        """The entry that the same caller has waiting longest, once `entry` was taken."""
        _drop_gone(entry.caller.waiting)
        return entry.caller.waiting[0] if entry.caller.waiting else None

    def take(self, entry: Entry[Item], *, served: bool = True) -> None:
        """Take the entry out. served: False where it left without being worked on. Taking twice does nothing."""
        if entry.gone:
            return
        entry.gone = True
        self._items -= 1
        self.cost -= entry.cost
        if served:
            entry.caller.served += entry.cost
            self._age_next = not self._age_next
        _drop_gone(entry.caller.waiting)
        if not entry.caller.waiting:
            self._callers.pop(entry.caller.key, None)

    def oldest_wait_s(self) -> float:
        """Seconds that the longest waiting item has waited; 0 when empty."""
        _drop_gone(self._by_age)
        return time.monotonic() - self._by_age[0].since if self._by_age else 0.0

    def drain(self, *, waited_s: float = 0.0) -> Iterator[Item]:
        """Take out everything that has waited so long, in order of arrival."""
        youngest = time.monotonic() - waited_s
        while self._by_age and (self._by_age[0].gone or self._by_age[0].since <= youngest):
            entry = self._by_age.popleft()
            if not entry.gone:
                self.take(entry, served=False)
                yield entry.item

    def _least_served(self) -> Entry[Item] | None:
        while self._least:
            served, number, caller = self._least[0]
            if not caller.waiting:
                heapq.heappop(self._least)
            elif served != caller.served:
                heapq.heapreplace(self._least, (caller.served, number, caller))
            else:
                self._level = max(self._level, served)
                return caller.waiting[0]
        return None


def _drop_gone(entries: "deque[Entry[Item]]") -> None:
    while entries and entries[0].gone:
        entries.popleft()
