"""log π0(ỹ_t | x, ỹ_<t) of one group's candidates at a time, padded: for models that packed rows do not suit.

A judge asks in the same way for the log-probabilities of `next_ids` right behind each whole candidate.

Promises: logits only at target positions, in chunks; a batch that does not fit into memory is halved. Ways to run the
model (see `rewright.service.models.forward.choose`, which finds the one to take):

    shared    what the model remembers of the prefix repeated for a batch of candidates, the output layer on target rows
    repeated  each candidate with the prefix before it, the output layer on target rows
    plain     the same, through the model's own logits
"""

import inspect
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, LinearAttentionCacheLayerMixin

from rewright.service.models.backbone import Backbone
from rewright.service.models.forward.packing import Ids, Tree
from rewright.service.models.forward.parts import body_of, output_of
from rewright.service.models.forward.target_logprobs import in_chunks
from rewright.service.models.memory_split import OutOfMemory, is_out_of_memory, run_split

Way = Literal["shared", "repeated", "plain"]

_IGNORED = 0
"""Fills the right end of shorter rows: causal attention keeps it from what is read."""
_MEMORIES = ("past_key_values", "cache_params", "state")
"""What families call the memory of what they have read, as an argument and in their answer."""


class CannotShare(Exception):
    """The model hands out no memory of what it has read."""


class PrefixScorer:
    """Scores candidates of one prefix at a time. Not thread-safe: belongs to the thread that owns the model.

    batch_tokens: the largest number of rows times (prefix + longest candidate) of one forward pass.
    alone: one candidate a forward pass, since the length of a batch changes how the model encodes positions.

    Raises `CannotSplit` for a model that only runs whole, but for the way `plain`.
    """

    def __init__(self, backbone: Backbone, *, batch_tokens: int, way: Way, alone: bool) -> None:
        self._model: Any = backbone.model
        self._plain = way == "plain"
        if not self._plain:
            self._body = body_of(backbone.model)
            self._output = output_of(backbone.model, self._body)
            self._takes_positions = "position_ids" in inspect.signature(self._body.forward).parameters
        self._vocabulary = int(backbone.model.config.get_text_config(decoder=True).vocab_size)
        self._device = backbone.device
        self._alone = alone
        self._budget = 1 if alone else batch_tokens
        self.way: Way = way

    def score(self, trees: Sequence[Tree], *, next_ids: Ids = ()) -> list[list[torch.Tensor | OutOfMemory]]:
        """For each tree and each of its candidates the log-probabilities of its ids, float32 on the CPU, shape [n].

        next_ids: where given, the log-probabilities of these ids right behind the candidate, float32, instead.
        """
        return [self._score(prefix, candidates, next_ids) for prefix, candidates in trees]

    def close(self) -> None:
        """Nothing is held beside the model."""

    @torch.inference_mode()
    def _score(self, prefix: Ids, candidates: Sequence[Ids], next_ids: Ids) -> list[torch.Tensor | OutOfMemory]:
        memory: tuple[str, Any] | None = None
        last_E = None
        if self.way == "shared":
            try:
                memory, last_E = self._read_prefix(prefix)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                return [OutOfMemory()] * len(candidates)

        def run(rows: Sequence[Ids]) -> list[torch.Tensor]:
            if memory is None:
                states_BLX = self._with_prefix(prefix, rows)
            else:
                read = rows if next_ids else [row[:-1] for row in rows]
                states_BLX = self._after_prefix(len(prefix), read, memory, last_E)
            return self._behind(states_BLX, rows, next_ids) if next_ids else self._at_targets(states_BLX, rows)

        return run_split(run, candidates, length=lambda row: len(prefix) + len(row), budget=self._budget)

    def _read_prefix(self, prefix: Ids) -> tuple[tuple[str, Any], torch.Tensor]:
        read = self._body(input_ids=self._ids([prefix]), use_cache=True)
        for name in _MEMORIES:
            if getattr(read, name, None) is not None:
                return (name, getattr(read, name)), read.last_hidden_state[0, -1]
        raise CannotShare("it hands out no memory of what it has read")

    def _after_prefix(self, start: int, rows: Sequence[Ids], memory: tuple[str, Any], last_E: Any) -> torch.Tensor:
        """Hidden states of the prefix's last id, then of the rows' ids, shape [B, 1 + L, E]."""
        first_B1E = last_E.expand(len(rows), 1, -1)
        inputs_BL = self._ids(rows)
        if inputs_BL.shape[1] == 0:
            return torch.as_tensor(first_B1E)
        name, of_one = memory
        more = {name: _repeated(of_one, len(rows))}
        if self._takes_positions:  # not every family counts on from its memory by itself
            more["position_ids"] = torch.arange(start, start + inputs_BL.shape[1], device=self._device)[None]
        rest_BLE = self._body(input_ids=inputs_BL, use_cache=True, **more).last_hidden_state
        return torch.cat([first_B1E, rest_BLE], dim=1)

    def _with_prefix(self, prefix: Ids, rows: Sequence[Ids]) -> torch.Tensor:
        """As `_after_prefix`; for `plain` logits instead of hidden states, shape [B, 1 + L, V]."""
        run = self._model if self._plain else self._body
        if self._alone:
            # Dynamic RoPE remembers the longest text it has seen; a short one makes it forget.
            run(input_ids=self._ids([prefix[:1]]), use_cache=False)
        # The last id predicts nothing that is scored, but it belongs to the length that dynamic RoPE looks at.
        out = run(input_ids=self._ids([[*prefix, *row] for row in rows]), use_cache=False)
        return torch.as_tensor((out.logits if self._plain else out.last_hidden_state)[:, len(prefix) - 1 :])

    def _at_targets(self, states_BLX: torch.Tensor, rows: Sequence[Ids]) -> list[torch.Tensor]:
        lengths = [len(row) for row in rows]
        kept_TX = torch.cat([states_LX[:length] for states_LX, length in zip(states_BLX, lengths, strict=True)])
        targets_T = torch.tensor([token for row in rows for token in row], device=self._device)
        logits_of = (lambda logits_TV: logits_TV) if self._plain else self._output
        logprobs_T = in_chunks(logits_of, kept_TX, targets_T, vocabulary=self._vocabulary).cpu()
        ends = list(accumulate(lengths))
        return [logprobs_T[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def _behind(self, states_BLX: torch.Tensor, rows: Sequence[Ids], next_ids: Ids) -> list[torch.Tensor]:
        last_BX = torch.stack([states_LX[len(row)] for states_LX, row in zip(states_BLX, rows, strict=True)])
        asked_N = torch.tensor(list(next_ids), device=self._device)
        if self._plain:
            return list(last_BX.float().log_softmax(dim=-1)[:, asked_N].cpu())
        return list(self._output.next(last_BX, asked_N).cpu())

    def _ids(self, rows: Sequence[Ids]) -> torch.Tensor:
        longest = max(len(row) for row in rows)
        return torch.tensor(
            [[*row, *[_IGNORED] * (longest - len(row))] for row in rows], dtype=torch.long, device=self._device
        )


def _repeated(memory: Any, times: int) -> Any:
    """The memory of one text as that of `times` equal ones; the first stays as it is.

    transformers repeats keys and values alone. Whatever a family remembers besides (states of convolutions and
    recurrences, indices) has the texts as its first dimension too.
    """
    if isinstance(memory, torch.Tensor):
        return memory.repeat_interleave(times, dim=0) if memory.dim() and len(memory) == 1 else memory.clone()
    if isinstance(memory, dict):
        return type(memory)((key, _repeated(value, times)) for key, value in memory.items())
    if isinstance(memory, list | tuple):
        return type(memory)(_repeated(value, times) for value in memory)
    if isinstance(memory, Cache | CacheLayerMixin | LinearAttentionCacheLayerMixin):
        repeated = object.__new__(type(memory))
        repeated.__dict__ = {name: _repeated(value, times) for name, value in vars(memory).items()}
        return repeated
    return memory
