"""A scorer before a scorer: texts scored once are remembered, by everything that their score depends on.

A key is a hash of the inner scorer's name and description (model, revision, template, precision, prompt, …), of the
service's version and the item's fields, of what its items depend on (`ScorerSpec.reads`), and of the candidate. What is
remembered and cannot be read as an item is a miss. Failures are not remembered, nor are tokens'
log-probabilities, and a request for those goes through. Equal texts that are being scored for somebody else are waited
for instead of being scored again. Not covered: diversity, whose result belongs to a group
(`rewright.service.scorers.diversity.scorer` remembers embeddings by itself).
"""

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

from cachetools import LRUCache
from pydantic import ValidationError

from rewright.service.schema import WIRE, Failed, Group, GroupScores
from rewright.service.scorers.base import CacheState, Scorer, check_contract, select_candidates
from rewright.service.scorers.caching.store import SharedStore
from rewright.service.scorers.spec import ScorerSpec

GroupResult = TypeVar("GroupResult", bound=GroupScores[Any])


class CachedScorer(Generic[GroupResult]):
    """`Scorer` over another one whose items do not depend on their group.

    spec: the inner scorer's, which is `cacheable`. shared: the store of all pods, if any. about: what its items depend
    on beside what the inner scorer describes.
    """

    def __init__(
        self,
        inner: Scorer[GroupResult],
        spec: ScorerSpec,
        *,
        entries: int,
        shared: SharedStore | None,
        about: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._spec = spec
        self._table: LRUCache[bytes, bytes] = LRUCache(entries)
        self._shared = shared
        self._further = dict(about)
        self._about = b""
        self._under_way: dict[bytes, asyncio.Future[Any]] = {}
        self._found = {"here": 0, "shared": 0, "nowhere": 0}

    @property
    def inner(self) -> Scorer[GroupResult]:
        return self._inner

    async def open(self) -> None:
        await self._inner.open()
        # Only once it is open does it know its revision.
        about = [WIRE, version("rewright"), self._spec.item.model_json_schema(), self.name, self._inner.describe()]
        about += [self._further] if self._further else []
        self._about = json.dumps(about, sort_keys=True, default=str).encode()

    async def close(self) -> None:
        await self._inner.close()
        if self._shared is not None:
            await self._shared.close()

    def describe(self) -> dict[str, Any]:
        return self._inner.describe()

    def last_worked(self) -> float | None:
        """Of the scorer inside: an answer from memory is no sign that it lives."""
        return self._inner.last_worked()

    def cache_state(self) -> CacheState:
        return CacheState(**self._found, errors=self._shared.errors if self._shared is not None else 0)

    async def score(self, groups: Sequence[Group], **options: bool) -> list[GroupResult]:
        """As the inner scorer's, with remembered items in their places; what an option asks for is never remembered."""
        if any(options.values()):
            inner: Any = self._inner
            return list(await inner.score(groups, **options))
        return list(await asyncio.gather(*(self._group(group) for group in groups)))

    async def _group(self, group: Group) -> GroupResult:
        keys = [self._key(group, text) for text in group.candidates]
        known = await self._look_up(list(dict.fromkeys(keys)))
        waited: dict[bytes, asyncio.Future[Any]] = {}
        mine: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key in known or key in waited or key in mine:
                continue
            if (other := self._under_way.get(key)) is not None:
                waited[key] = other
            else:
                mine[key] = place
        items: dict[bytes, Any] = known
        items |= await self._compute(group, mine)
        for key, future in waited.items():
            await asyncio.wait([future])
            if not future.cancelled() and future.exception() is None:
                items[key] = future.result()
        # Whoever was waited for may have left or failed: what is still missing is nobody's now.
        missing = {key: place for place, key in reversed(list(enumerate(keys))) if key not in items}
        items |= await self._compute(group, missing)
        result: Any = self._spec.group.model_validate(
            {"id": group.id or "", "candidates": [items[key] for key in keys]}
        )
        return cast(GroupResult, result)

    async def _look_up(self, keys: list[bytes]) -> dict[bytes, Any]:
        """Items that are remembered, by key."""
        known = {key: item for key in keys if (item := self._read(self._table.get(key))) is not None}
        self._found["here"] += len(known)
        unknown = [key for key in keys if key not in known]
        if self._shared is not None:
            for key, value in zip(unknown, await self._shared.get(unknown), strict=True):
                if value is not None and (item := self._read(value)) is not None:
                    self._table[key] = value
                    known[key] = item
                    self._found["shared"] += 1
        self._found["nowhere"] += len(keys) - len(known)
        return known

    def _read(self, value: bytes | None) -> Any:
        try:
            return None if value is None else self._spec.item.model_validate_json(value)
        except ValidationError:
            return None

    async def _compute(self, group: Group, places: dict[bytes, int]) -> dict[bytes, Any]:
        """Items of the candidates at those places, by key; remembered where they were scored."""
        if not places:
            return {}
        loop = asyncio.get_running_loop()
        futures = {key: loop.create_future() for key in places if key not in self._under_way}
        self._under_way |= futures
        try:
            asked = [select_candidates(group, list(places.values()))]
            results = check_contract(self.name, asked, await self._inner.score(asked))
            items = dict(zip(places, results[0].candidates, strict=True))
            for key, future in futures.items():
                if not isinstance(items[key], Failed):
                    future.set_result(items[key])
        finally:
            for key, future in futures.items():
                del self._under_way[key]
                future.cancel()
        scored = {key: item.model_dump_json().encode() for key, item in items.items() if not isinstance(item, Failed)}
        self._table.update(scored)
        if self._shared is not None:
            await self._shared.put(scored)
        return items

    def _key(self, group: Group, text: str) -> bytes:
        parts = (*(getattr(group, field) for field in self._spec.reads), text)
        digest = hashlib.blake2b(self._about, digest_size=20)
        for part in parts:
            encoded = (part or "").encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
        return b"rewright:" + digest.hexdigest().encode()
