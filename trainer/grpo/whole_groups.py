"""Which of TRL's rows belong to one prompt: kept together over micro-batches, and read as trees of ids.

TRL shuffles the rows of a step before it cuts them into micro-batches, so that a prompt's responses stand in many of
them, and each would compute the prompt again.

Rows with the same prompt are one group, whether or not they were sampled together. Not covered: images.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from rewright.service.models.forward.packing import Tree

Batch = dict[str, Any]


class Rows(NamedTuple):
    """Padded rows as trees of ids, each prompt once."""

    trees: list[Tree]
    places: list[int]
    """Where each response id stands in the flattened [rows, longest response]; trees and their responses in order."""


def read_rows(ids_BL: torch.Tensor, mask_BL: torch.Tensor, responses: int) -> Rows:
    """The last `responses` columns hold responses, padded on the right, those before prompts, padded on the left.

    Rows whose response is empty or masked as a whole have no place. Raises `ValueError` where a prompt is empty.
    """
    split = ids_BL.shape[1] - responses
    lengths = zip(mask_BL[:, :split].sum(1).tolist(), mask_BL[:, split:].sum(1).tolist(), strict=True)
    grouped: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
    for row, (ids, (prompt, response)) in enumerate(zip(ids_BL.tolist(), lengths, strict=True)):
        if not prompt:
            raise ValueError("a row without a prompt")
        if response:
            own = ids[split : split + response]
            grouped.setdefault(tuple(ids[split - prompt : split]), []).append((row, own))
    return Rows(
        [Tree(prompt, [ids for _, ids in own]) for prompt, own in grouped.items()],
        [row * responses + at for own in grouped.values() for row, ids in own for at in range(len(ids))],
    )


def with_whole_groups(batches: Sequence[Mapping[str, Any]]) -> list[Batch]:
    """The same rows in as many batches of the same size, groups one behind the other, in the order they first came."""
    whole = {name: _joined([batch[name] for batch in batches]) for name in batches[0]}
    prompts = torch.cat([whole["prompt_mask"], whole["prompt_ids"]], dim=1)
    _, group_of_row = torch.unique(prompts, dim=0, return_inverse=True)
    first_rows = {group: row for row, group in reversed(list(enumerate(group_of_row.tolist())))}
    order = sorted(range(len(prompts)), key=lambda row: first_rows[int(group_of_row[row])])
    size = len(order) // len(batches)
    cuts = [order[at : at + size] for at in range(0, size * len(batches), size)]
    return [{name: _picked(value, cut) for name, value in whole.items()} for cut in cuts]


def _by_row(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, torch.Tensor) and value.ndim > 0)


def _joined(values: Sequence[Any]) -> Any:
    if not _by_row(values[0]):
        return values[0]
    return torch.cat(list(values)) if isinstance(values[0], torch.Tensor) else [one for each in values for one in each]


def _picked(value: Any, rows: Sequence[int]) -> Any:
    if not _by_row(value):
        return value
    return value[list(rows)] if isinstance(value, torch.Tensor) else [value[row] for row in rows]
