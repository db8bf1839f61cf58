"""Runs a device function over items in batches of a padded-token budget, and halves a batch that does not fit.

Promises: one result an item in the caller's order; memory that ran out costs an item its score only when the item does
not fit alone. Every other error passes through.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_SAID_WITHOUT_A_CLASS = ("can't allocate memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


class OutOfMemory:
    """Stands for the result of an item that did not fit into the device's memory even alone."""


def run_split(
    run: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    *,
    length: Callable[[Item], int],
    budget: int,
) -> list[Result | OutOfMemory]:
    """`run` over items of like length together, so that padding to the longest wastes little.

    budget: the largest number of items times longest length in one call of `run`; a longer item runs alone.
    """
    order = sorted(range(len(items)), key=lambda i: length(items[i]))
    results: list[Result | OutOfMemory] = [OutOfMemory()] * len(items)
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * length(items[i]) > budget:
            _fill(run, items, batch, results)
            batch = []
        batch.append(i)
    if batch:
        _fill(run, items, batch, results)
    return results


def _fill(
    run: Callable[[Sequence[Item]], Sequence[Result]],
    items: Sequence[Item],
    batch: list[int],
    results: list[Result | OutOfMemory],
) -> None:
    try:
        for i, result in zip(batch, run([items[i] for i in batch]), strict=True):
            results[i] = result
        return
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    # Outside the handler: the exception's frames hold the tensors that did not fit.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(batch) > 1:
        middle = len(batch) // 2
        _fill(run, items, batch[:middle], results)
        _fill(run, items, batch[middle:], results)


def is_out_of_memory(error: BaseException) -> bool:
    """True where the device's or the host's memory ran out; some allocators of torch raise a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID_WITHOUT_A_CLASS)
