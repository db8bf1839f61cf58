"""log π0 of given tokens: from hidden states to one float32 number a target, without a whole matrix of logits.

Promises: logits exist for a small chunk of target rows at a time; log-softmax and its sum over the vocabulary are
float32. Natural logarithm.

Not covered: output layers that are more than a matrix with scaling and soft capping; the caller finds
out by comparing (`rewright.service.models.forward.choose`), and takes the model's own logits instead.
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel

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


class OutputLayer:
    """What a causal language model does after its last hidden state: the matrix, then known scalings."""

    def __init__(self, model: PreTrainedModel) -> None:
        config: Any = model.config.get_text_config(decoder=True)
        whole: Any = model
        self._matrix: Any = whole.get_output_embeddings()
        self._times = float(getattr(config, "logit_scale", None) or 1.0) / float(
            getattr(config, "logits_scaling", None) or 1.0
        )
        self._cap = getattr(config, "final_logit_softcapping", None)
        self.vocabulary = int(config.vocab_size)

    def __call__(self, hidden_TE: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, shape [T, V]."""
        logits_TV: torch.Tensor = self._matrix(hidden_TE)
        if self._times != 1.0:
            logits_TV = logits_TV * self._times
        if self._cap is not None:
            logits_TV = torch.tanh(logits_TV / self._cap) * self._cap
        return logits_TV

    def at(self, hidden_TE: torch.Tensor, ids_T: torch.Tensor) -> torch.Tensor:
        """The logit of one id per row, float32, shape [T]: in the model's own half precision labels would tie."""
        logits_T: torch.Tensor = (hidden_TE.float() * self._matrix.weight[ids_T].float()).sum(dim=1)
        if getattr(self._matrix, "bias", None) is not None:
            logits_T = logits_T + self._matrix.bias[ids_T].float()
        logits_T = logits_T * self._times
        return logits_T if self._cap is None else torch.tanh(logits_T / self._cap) * self._cap
