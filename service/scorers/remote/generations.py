"""Replicas that differ in what a score depends on are never mixed: one generation answers at a time.

A generation is what a replica says of its scorer (model, revision, template, prompt, …) and the version of its service,
without what belongs to the process alone. Every answer says it again, so that a pod that came back as another one is
noticed at once. The generation that most well replicas have is the current one, and stays it until another has more, or
until none of its own is well for `GONE_S`. Work goes to replicas of the current generation alone; others are left out
and reported. Once a request has an answer, all its work stays with the generation that gave it (`Pin`).
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from weakref import WeakValueDictionary

log = logging.getLogger(__name__)

OF_THE_PROCESS = frozenset({"where", "url", "reachable", "replicas", "servers", "device", "way", "workers", "queue"})
"""What a scorer says of itself that no score depends on."""
GONE_S = 1.0
"""A generation none of whose replicas is well gives way after so long; a connection is made anew sooner."""


class Said(NamedTuple):
    """What a pod says of itself: its scorer's description, and the version of its service."""

    scorer: Mapping[str, Any]
    version: str


NOTHING_SAID = Said({}, "")


@dataclass(frozen=True, eq=False)
class Generation:
    """said: what `served_by` tells of it. key: the same as text, for comparing."""

    said: dict[str, Any]
    key: str


@dataclass(slots=True, eq=False)
class Pin:
    """The generation that answered a request first, and answers the rest of it."""

    generation: Generation | None = None


class Known(Protocol):
    """What is asked of a replica here."""

    @property
    def url(self) -> str: ...
    @property
    def well(self) -> bool: ...
    @property
    def generation(self) -> Generation | None: ...


class Generations:
    """Those that are in use anywhere, and the one that is served."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._met: WeakValueDictionary[str, Generation] = WeakValueDictionary()
        self._seen_well = time.monotonic()
        self.current: Generation | None = None

    def of(self, said: Said) -> Generation:
        """The generation of a replica that says this; the same object for the same description."""
        told = {name: value for name, value in said.scorer.items() if name not in OF_THE_PROCESS}
        if said.version:
            told["service"] = said.version
        key = json.dumps(told, sort_keys=True, default=str)
        return self._met.setdefault(key, Generation(told, key))

    def settle(self, replicas: Iterable[Known]) -> bool:
        """Choose the current generation again; true where it is another one now."""
        replicas = list(replicas)
        well = Counter(r.generation for r in replicas if r.well and r.generation is not None)
        ours = well[self.current] if self.current is not None else 0
        if ours:
            self._seen_well = time.monotonic()
        # Who says nothing comes last; the key decides between equals, so that gateways agree.
        best = max(well, key=lambda g: (bool(g.said), well[g], g is self.current, g.key), default=None)
        if best is None or best is self.current:
            return False
        there = any(r.generation is self.current for r in replicas)
        if self.current is not None and there and not ours and time.monotonic() - self._seen_well < GONE_S:
            return False
        if self.current is not None:
            log.warning("%s is served by another generation now: %s", self._name, difference(best, self.current))
        self.current = best
        self._seen_well = time.monotonic()
        return True

    def left_out(self, replica: Known) -> str | None:
        """How the well replica differs from those in use; None where it does not."""
        one, other = replica.generation, self.current
        return difference(one, other) if replica.well and one and other and one is not other else None


def difference(one: Generation, other: Generation) -> str:
    """What the two say differently, in words."""
    names = sorted(one.said.keys() | other.said.keys())
    absent = "nothing"
    told = [
        f"{name} is {_shown(one.said.get(name, absent))} instead of {_shown(other.said.get(name, absent))}"
        for name in names
        if one.said.get(name, absent) != other.said.get(name, absent)
    ]
    return "; ".join(told) or "nothing that can be told"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str, sort_keys=True)
    return text if len(text) <= 200 else f"{text[:200]}…"
