"""log π0(ỹ_t | x, ỹ_<t) of one group's candidates at a time, padded: for models that packed rows do not suit.

Promises: logits only at target positions, in chunks; a batch that does not fit into memory is halved. Ways to run the
model (see `rewright.service.models.forward.choose`, which finds the one to take):

    shared    the prefix's cache repeated for a batch of candidates, the output layer on target rows
    repeated  each candidate with the prefix before it, the output layer on target rows
    plain     the same, through the model's own logits
"""

import copy
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import torch

from rewright.service.models.backbone import Backbone
from rewright.service.models.forward.packing import Tree
from rewright.service.models.forward.target_logprobs import OutputLayer, in_chunks
from rewright.service.models.memory_split import OutOfMemory, is_out_of_memory, run_split

Way = Literal["shared", "repeated", "plain"]

_IGNORED = 0
"""Fills the right end of shorter rows: causal attention keeps it from what is read."""


class PrefixScorer:
    """Scores candidates of one prefix at a time. Not thread-safe: belongs to the thread that owns the model.

    batch_tokens: the largest number of rows times (prefix + longest candidate) of one forward pass.
    alone: one candidate a forward pass, since the length of a batch changes how the model encodes positions.
    """

    def __init__(self, backbone: Backbone, *, batch_tokens: int, way: Way, alone: bool) -> None:
        model: Any = backbone.model
        self._model = model
        self._body = model.get_decoder()
        self._output = OutputLayer(backbone.model)
        self._device = backbone.device
        self._alone = alone
        self._budget = 1 if alone else batch_tokens
        self.way: Way = way

    def score(self, trees: Sequence[Tree]) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n]."""
        return [self._score(self.way, prefix, candidates) for prefix, candidates in trees]

    def close(self) -> None:
        """Nothing is held beside the model."""

    @torch.inference_mode()
    def _score(
        self, way: Way, prefix: Sequence[int], targets: Sequence[Sequence[int]]
    ) -> list[torch.Tensor | OutOfMemory]:
        cache, last_E = None, None
        if way == "shared":
            try:
                cache, last_E = self._read_prefix(prefix)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                return [OutOfMemory()] * len(targets)

        def run(rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
            if way == "shared":
                hidden_BLE = self._after_prefix(rows, cache, last_E)
            else:
                hidden_BLE = self._with_prefix(way, prefix, rows)
            return self._at_targets(way, hidden_BLE, rows)

        return run_split(run, targets, length=lambda row: len(prefix) + len(row), budget=self._budget)

    def _read_prefix(self, prefix: Sequence[int]) -> tuple[Any, torch.Tensor]:
        read = self._body(input_ids=self._ids([prefix]), use_cache=True)
        return read.past_key_values, read.last_hidden_state[0, -1]

    def _after_prefix(self, rows: Sequence[Sequence[int]], cache: Any, last_E: Any) -> torch.Tensor:
        """Hidden states that predict the rows' ids, shape [B, L, E]: the prefix's last, then all but the rows' last."""
        first_B1E = last_E.expand(len(rows), 1, -1)
        inputs_BL = self._ids([row[:-1] for row in rows])
        if inputs_BL.shape[1] == 0:
            return torch.as_tensor(first_B1E)
        mine = copy.deepcopy(cache)
        mine.batch_repeat_interleave(len(rows))
        rest_BLE = self._body(input_ids=inputs_BL, past_key_values=mine, use_cache=True).last_hidden_state
        return torch.cat([first_B1E, rest_BLE], dim=1)

    def _with_prefix(self, way: Way, prefix: Sequence[int], rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """As `_after_prefix`; for `plain` logits instead of hidden states, shape [B, L, V]; one row more."""
        if self._alone:
            # Dynamic RoPE remembers the longest text it has seen; a short one makes it forget.
            self._body(input_ids=self._ids([prefix[:1]]), use_cache=False)
        # The last id predicts nothing that is scored, but it belongs to the length that dynamic RoPE looks at.
        inputs_BL = self._ids([[*prefix, *row] for row in rows])
        if way == "plain":
            return torch.as_tensor(self._model(input_ids=inputs_BL, use_cache=False).logits[:, len(prefix) - 1 :])
        return torch.as_tensor(self._body(input_ids=inputs_BL, use_cache=False).last_hidden_state[:, len(prefix) - 1 :])

    def _at_targets(self, way: Way, states_BLX: torch.Tensor, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        lengths = [len(row) for row in rows]
        kept_TX = torch.cat([states_LX[:length] for states_LX, length in zip(states_BLX, lengths, strict=True)])
        targets_T = torch.tensor([token for row in rows for token in row], device=self._device)
        logits_of = (lambda logits_TV: logits_TV) if way == "plain" else self._output
        logprobs_T = in_chunks(logits_of, kept_TX, targets_T, vocabulary=self._output.vocabulary).cpu()
        ends = list(accumulate(lengths))
        return [logprobs_T[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def _ids(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        return torch.tensor(
            [[*row, *[_IGNORED] * (longest - len(row))] for row in rows], dtype=torch.long, device=self._device
        )
