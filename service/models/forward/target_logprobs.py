"""log π0 of given tokens: from hidden states to one float32 number a target, without a whole matrix of logits.

Promises: logits exist for a small chunk of target rows at a time; log-softmax and its sum over the vocabulary are
float32. Natural logarithm.

Not covered: what makes logits of hidden states (`rewright.service.models.forward.parts`).
"""

from collections.abc import Callable

import torch

_CHUNK_BYTES = {"cpu": 48 * 2**20, "cuda": 512 * 2**20}
"""Of float32 logits for one matrix product: enough rows to be worth reading the whole output matrix for."""
_CACHED_BYTES = 2**19
"""Of float32 logits for one log-softmax on a CPU: they stay in its inner cache between the passes over them."""


def pick(logits_TV: torch.Tensor, targets_T: torch.Tensor) -> torch.Tensor:
    """log softmax of each row at its target, float32, shape [T]."""
    size = max(1, len(logits_TV))
    if logits_TV.device.type == "cpu":
        size = max(1, _CACHED_BYTES // (4 * logits_TV.shape[1]))
    # Not torch.logsumexp, whose exponential runs unvectorised on a CPU: it costs more than the matrix product before.
    return torch.cat(
        [
            rows_TV.float().log_softmax(dim=1).gather(1, at_T[:, None]).squeeze(1)
            for rows_TV, at_T in zip(torch.split(logits_TV, size), torch.split(targets_T, size), strict=True)
        ]
    )


def in_chunks(
    logits_of: Callable[[torch.Tensor], torch.Tensor],
    rows_TX: torch.Tensor,
    targets_T: torch.Tensor,
    *,
    vocabulary: int,
    pick: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = pick,
) -> torch.Tensor:
    """`pick` over chunks of rows; `logits_of` turns rows into logits. Float32, shape [T]."""
    size = max(1, _CHUNK_BYTES[rows_TX.device.type] // (4 * vocabulary))
    starts = range(0, len(targets_T), size)
    return torch.cat([pick(logits_of(rows_TX[at : at + size]), targets_T[at : at + size]) for at in starts])


def log_normaliser(
    logits_of: Callable[[torch.Tensor], torch.Tensor], rows_TX: torch.Tensor, *, vocabulary: int
) -> torch.Tensor:
    """log Σ exp of each row's logits over the vocabulary, float32, shape [T]."""
    first_T = torch.zeros(len(rows_TX), dtype=torch.long, device=rows_TX.device)
    return in_chunks(logits_of, rows_TX, first_T, vocabulary=vocabulary, pick=_normaliser)


def _normaliser(logits_TV: torch.Tensor, targets_T: torch.Tensor) -> torch.Tensor:
    return logits_TV.gather(1, targets_T[:, None]).squeeze(1).float() - pick(logits_TV, targets_T)
