"""A decode step on a GPU as a CUDA graph: a step of a small model is hundreds of kernels that take less time than
launching them one by one.

Promises: the same numbers as the step itself; shapes are fixed, so that rows are filled up with unused slots, and all
positions that the memory has are passed over, which it then gets in multiples of `_POSITIONS`; a graph is captured when
it is first needed and again when the memory has grown. Where a model's code cannot be captured, one line says why and
`logits` is None from then on.

Not covered: prompts, which have shapes of their own each time; drawing the next ids.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import torch

from rewright.trainer.generation.row_memory import RowMemory, Writing

log = logging.getLogger(__name__)

_POSITIONS = 512
_FEWER = 4
"""Each next graph has so many times fewer rows: what a batch ends with should not cost what it began with."""

Step = Callable[[torch.Tensor, Writing], torch.Tensor]
"""Ids, shape [B], and their attentions; gives logits, shape [B, V]."""
Capture = Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]]


class _Captured(NamedTuple):
    ids_B: torch.Tensor
    lengths_B: torch.Tensor
    again: Callable[[], torch.Tensor]


class StepGraphs:
    """Of one memory, whose first slots hold the rows under way. capture: how work is recorded; absent: as CUDA does."""

    def __init__(
        self, step: Step, memory: RowMemory, slots: int, device: torch.device, *, capture: Capture | None = None
    ) -> None:
        self._step = step
        self._memory = memory
        self._device = device
        self._capture = capture or _cuda_graph
        self._rows = [slots]
        while self._rows[-1] > _FEWER:
            self._rows.append(-(-self._rows[-1] // _FEWER))
        self._positions = 0
        self._captured: dict[int, _Captured] = {}
        self._refused = False

    def logits(self, ids: list[int], lengths: list[int]) -> torch.Tensor | None:
        """Shape [B, V], good until the next call. ids: the newest of each row; lengths: ids before it, a row."""
        if self._refused:
            return None
        self._memory.reserve(-(-(max(lengths) + 1) // _POSITIONS) * _POSITIONS)
        if self._memory.positions != self._positions:
            self._captured.clear()
            self._positions = self._memory.positions
        rows = min(count for count in self._rows if count >= len(ids))
        unused = [0] * (rows - len(ids))
        both = torch.tensor([[*ids, *unused], [*lengths, *unused]])
        if rows not in self._captured and not self._record(rows, both):
            return None
        captured = self._captured[rows]
        captured.ids_B.copy_(both[0])
        captured.lengths_B.copy_(both[1])
        return captured.again()[: len(ids)]

    def _record(self, rows: int, both: torch.Tensor) -> bool:
        """With the step's own ids in place, so that trying it leaves the keys that belong there."""
        ids_B, lengths_B = (each.to(self._device) for each in both)

        def step() -> torch.Tensor:
            return self._step(ids_B, Writing(lengths_B, self._memory, longest=self._positions))

        try:
            again = self._capture(step)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._refused = True
            log.warning("decode steps are launched kernel by kernel, which is slower: %s", str(error).split("\n")[0])
            return False
        self._captured[rows] = _Captured(ids_B, lengths_B, again)
        return True


def _cuda_graph(work: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
    # Libraries set themselves up at their first calls, which must not be recorded.
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = work()

    def again() -> torch.Tensor:
        graph.replay()
        return out

    return again
