"""Embeddings → r_div of every member of S_x⁺ (eq. 9 to 12) and D(S_x⁺) of the group; when asked, their similarities.

Promises: equal candidates are embedded once and counted each; only feasible candidates that could be embedded are
members; a member that failed leaves the group's arithmetic and has no number; arithmetic in float64.

Not covered: who is feasible (the gate decides) and what a missing r_div means for `total`
(`rewright.service.reward.rule`).
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from rewright.service.core.batcher import Batcher, QueueState
from rewright.service.errors import OutOfTime, ScorerUnavailable
from rewright.service.models.defaults import EMBEDDED
from rewright.service.models.memory_split import OutOfMemory, run_split
from rewright.service.schema import DiversityGroup, DiversityScored, Failed, Group
from rewright.service.scorers.base import failed
from rewright.service.scorers.diversity.embedder import Embedded, Embedder, Window, joined

DECIMALS = 4
"""Of a similarity. What an embedder of a lower precision or another batch says differs from the fifth on."""


class MarginalDiversity(NamedTuple):
    total: float
    """D of eq. 10, in [0, 1], and never beyond by rounding."""
    r_div_K: NDArray[np.float64]
    """max(0, Δ_k) of eq. 11 and 12, one a member."""


def marginal_diversity(unit_KE: NDArray[np.float64]) -> MarginalDiversity:
    """D(S_x⁺) and r_div of its K ≥ 1 members from their unit embeddings, in O(K·E).

    For unit vectors (1 − cos)/2 = ‖e_i − e_j‖²/4. With c_k = e_k − mean and Q = Σ‖c_k‖², a member's summed distance to
    the others is (K‖c_k‖² + Q)/4 and the sum over pairs KQ/4. Neither subtracts near-equal numbers, so a group of equal
    candidates gives 0 up to rounding of 1e-32 and no K × K matrix is needed. K < 2: D = 0 and r_div = 0, and D of a
    single member is 0, so for K = 2 Δ_k = D.
    """
    count = len(unit_KE)
    if count < 2:
        return MarginalDiversity(0.0, np.zeros(count))
    square_K = np.square(unit_KE - unit_KE.mean(axis=0)).sum(axis=1)
    summed = float(square_K.sum())
    total = summed / (2 * (count - 1))
    if count == 2:
        without_K = np.zeros(2)
    else:
        without_K = ((count - 1) * summed - count * square_K) / (2 * (count - 1) * (count - 2))
    # Both are in [0, 1] but for what unit vectors of a lower precision add.
    return MarginalDiversity(min(1.0, total), np.clip(total - without_K, 0.0, 1.0))


def cosines(unit_KE: NDArray[np.float64]) -> NDArray[np.float64]:
    """The K × K cosines of K ≥ 1 unit embeddings, in [-1, 1], to `DECIMALS` decimals; 1 of each with itself."""
    # Adding 0 makes 0 of -0, which a reader would wonder about.
    cosine_KK = np.clip(np.round(unit_KE @ unit_KE.T, DECIMALS), -1.0, 1.0) + 0.0
    np.fill_diagonal(cosine_KK, 1.0)
    return cosine_KK


class EmbeddingDiversity:
    """`contract.DiversityScorer` over sentence-transformers embeddings.

    batch_tokens: padded tokens one forward pass may hold. queue_tokens: tokens that may wait. remembered: embeddings
    that are kept, by text; 0 keeps none. turn: held while the device works, so that scorers sharing it take turns.

    `group.feasible` None means every candidate is a member. Of a group without a single embedded member `diversity` is
    None; of a group with one it is 0. Codes of failed members: `blank` and `not_finite` (not retryable),
    `out_of_memory` and `internal`.
    """

    name = "diversity"

    def __init__(
        self,
        *,
        model: str,
        precision: str,
        device: str,
        batch_tokens: int,
        queue_tokens: int,
        remembered: int = 0,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self._wanted = {"model": model, "precision": precision, "device": device}
        self._batch_tokens = batch_tokens
        self._queue_tokens = queue_tokens
        self._turn = turn
        self._remembered: LRUCache[str, Embedded] = LRUCache(remembered)
        self._embedder: Embedder | None = None
        self._batcher: Batcher[Window, NDArray[np.float64] | OutOfMemory] | None = None

    async def open(self) -> None:
        embedder = await asyncio.to_thread(lambda: Embedder(**self._wanted))
        self._batcher = Batcher(
            self.name,
            lambda windows: run_split(embedder.vectors, windows, length=embedder.padded, budget=self._batch_tokens),
            embedder.padded,
            budget=self._batch_tokens,
            capacity=self._queue_tokens,
            turn=self._turn,
            worked=lambda row: not isinstance(row, OutOfMemory),
        )
        self._embedder = embedder
        self._batcher.start()

    async def close(self) -> None:
        if self._batcher is not None:
            await self._batcher.close()

    def last_worked(self) -> float | None:
        return None if self._batcher is None else self._batcher.last_worked()

    def describe(self) -> dict[str, Any]:
        described: dict[str, Any] = {
            "backend": "sentence-transformers",
            "model": self._wanted["model"],
            "embedded": self._wanted["model"] == EMBEDDED,
        }
        if self._embedder is not None:
            described |= {
                "revision": self._embedder.revision,
                "precision": str(self._embedder.dtype).removeprefix("torch."),
                "device": self._embedder.device,
                "window": self._embedder.window,
            }
        return described

    def queue_state(self) -> QueueState:
        return self._batcher.state() if self._batcher is not None else QueueState(0, 0, 0.0)

    async def score(self, groups: Sequence[Group], *, similarities: bool = False) -> list[DiversityGroup]:
        """One result per group in order. Raises `Overloaded`, or `ScorerUnavailable` when the scorer is not open.

        similarities: with the cosine of each two embedded members of a group, K × K numbers of its K candidates.
        """
        texts = {
            text: None  # a dict keeps the order and drops repeats
            for group in groups
            for text, member in zip(group.candidates, _members(group), strict=True)
            if member and text.strip()
        }
        embedded = await self._embed(list(texts))
        if not similarities:
            return [_group_result(group, embedded) for group in groups]
        # Half a million numbers take a third of a second, which others need not wait for.
        return await asyncio.to_thread(lambda: [_group_result(group, embedded, similarities=True) for group in groups])

    async def _embed(self, texts: list[str]) -> dict[str, Embedded | Failed]:
        if self._embedder is None or self._batcher is None:
            raise ScorerUnavailable("diversity is not open")
        kept = self._remembered
        found: dict[str, Embedded | Failed] = {text: kept[text] for text in texts if text in kept}
        new = [text for text in texts if text not in found]
        if not new:
            return found
        windows = await asyncio.to_thread(self._embedder.windows, new)
        rows = iter(await self._batcher.submit([window for ws in windows for window in ws]))
        found |= {text: _of_windows(ws, [next(rows) for _ in ws]) for text, ws in zip(new, windows, strict=True)}
        if kept.maxsize > 0:
            kept.update((text, item) for text in new if isinstance(item := found[text], Embedded))
        return found


def _members(group: Group) -> Sequence[bool]:
    return group.feasible if group.feasible is not None else [True] * len(group.candidates)


def _of_windows(
    windows: Sequence[Window], rows: Sequence[NDArray[np.float64] | OutOfMemory | Exception]
) -> Embedded | Failed:
    whole: list[NDArray[np.float64]] = []
    for row in rows:
        if isinstance(row, ScorerUnavailable):
            raise row
        if isinstance(row, OutOfMemory):
            return Failed.because("out_of_memory", "the embedder ran out of memory on this text alone", retryable=True)
        if isinstance(row, OutOfTime):
            return failed(row)
        if isinstance(row, Exception):
            return Failed.because("internal", f"the embedder raised {type(row).__name__}", retryable=True)
        whole.append(row)
    vector = joined(windows, whole)
    if not np.isfinite(vector).all():
        return Failed.because("not_finite", "the embedding of this text has no direction", retryable=False)
    return Embedded(vector, len(windows))


def _group_result(
    group: Group, embedded: dict[str, Embedded | Failed], *, similarities: bool = False
) -> DiversityGroup:
    blank = Failed.because("blank", "a blank candidate has no embedding", retryable=False)
    found = [
        embedded.get(text, blank) if member else None
        for text, member in zip(group.candidates, _members(group), strict=True)
    ]
    vectors = [item.vector for item in found if isinstance(item, Embedded)]
    if not vectors:
        diversity, r_div = None, iter(())
    else:
        total, r_div_K = marginal_diversity(np.stack(vectors))
        diversity, r_div = total, iter(r_div_K.tolist())
    items: list[DiversityScored | Failed] = []
    for item in found:
        if isinstance(item, Failed):
            items.append(item)
        elif item is None:
            items.append(DiversityScored(r_div=None))
        else:
            items.append(DiversityScored(r_div=next(r_div), windows=item.windows))
    return DiversityGroup(
        id=str(group.id),
        candidates=items,
        diversity=diversity,
        similarities=_similarities(found, vectors) if similarities else None,
    )


def _similarities(
    found: Sequence[Embedded | Failed | None], vectors: Sequence[NDArray[np.float64]]
) -> list[list[float | None] | None]:
    """A row for each candidate, and in it a number for each; None for those without one of the vectors."""
    count = len(found)
    places = [k for k, item in enumerate(found) if isinstance(item, Embedded)]
    shown_KK = np.full((count, count), None, dtype=object)
    if places:
        shown_KK[np.ix_(places, places)] = cosines(np.stack(vectors))
    rows: list[list[float | None]] = shown_KK.tolist()
    return [row if isinstance(item, Embedded) else None for item, row in zip(found, rows, strict=True)]
