"""Decoding whose prompts are read once, however many rows continue them, and whose finished rows are replaced.

Promises: a row ends at one of its stop ids or at its own limit, and its place goes to the next row at once; the model
runs on packed rows (`rewright.trainer.generation.row_memory`) and the output layer on the newest ids alone; an adapter
on float32 weights is added to them once a call instead of run beside them, and the weights that are trained are not
touched; texts depend on the state of torch's random numbers and on nothing else.

Where device memory ends, fewer rows are under way.

`PackedDecoder` raises one of `CANNOT` for a model whose own code cannot be run so, at once or when it first writes.
Not covered: whether the numbers are right, which `rewright.trainer.generation.packed_way` measures; beams; penalties;
weights that are cut over processes.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from transformers import PreTrainedModel, TopPLogitsWarper

from rewright.service.models.forward.choose import length_changes_positions
from rewright.service.models.forward.packed import CannotPack, attention_layers
from rewright.service.models.forward.packed_attention import NAME, running
from rewright.service.models.forward.packing import Ids
from rewright.service.models.forward.parts import body_of, output_of
from rewright.service.models.same_weights import same_weights
from rewright.trainer.generation.row_memory import Reading, RowMemory, Writing
from rewright.trainer.generation.step_graphs import StepGraphs

log = logging.getLogger(__name__)

_ROWS = {"cpu": 64, "cuda": 256}
"""Rows under way: more gain little on a CPU, and cost memory."""
_PROMPT_TOKENS = 2048
"""Ids of the prompts that are read in one pass, at least one prompt."""


@dataclass(frozen=True)
class Written:
    """ids: with the stop id that ended it, if one did; logps: natural, of each id at the temperature, before top_p."""

    ids: list[int]
    logps: list[float]


@dataclass
class _Row:
    prompt: Ids
    limit: int
    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.ids)


class PackedDecoder:
    """model: a causal language model on its device, perhaps with LoRA layers inside; a twin of it is what runs."""

    def __init__(self, model: PreTrainedModel, *, rows: int | None = None) -> None:
        config = model.config.get_text_config(decoder=True)
        if length_changes_positions(config):
            raise CannotPack("how positions are encoded depends on the longest text of a batch")
        self._expected = attention_layers(config)
        self._device = model.device
        self._rows = rows or _ROWS.get(self._device.type, _ROWS["cpu"])
        body = body_of(model)
        self._output = output_of(model, body)
        self._body: Any = same_weights(body, attention=NAME).eval()
        self._capturable = True
        """Until a graph of a step could not be made."""
        self._added = list(_with_adapters_added(self._body)) if model.dtype == torch.float32 else []

    @torch.inference_mode()
    def write(
        self,
        prompts: Sequence[Ids],
        limits: Sequence[int],
        stop: Collection[int],
        *,
        temperature: float,
        top_p: float = 1.0,
    ) -> list[Written]:
        """What continues each prompt. limits: new ids, a prompt; temperature 0 takes the likeliest.

        Neighbours with equal prompts are read as one. Raises one of `CANNOT`, and `torch.OutOfMemoryError` where not
        even one row fits.
        """
        for adapted in self._added:
            adapted.renew()
        rows = [_Row(list(prompt), limit) for prompt, limit in zip(prompts, limits, strict=True)]
        while True:
            try:
                _Run(self, rows, stop, temperature, top_p).to_the_end()
                return [Written(row.ids, row.logps) for row in rows]
            except torch.OutOfMemoryError:
                if self._rows == 1:
                    raise
            # Outside of the handler: an exception's frames hold the tensors that did not fit.
            self._rows = max(1, min(self._rows, len(rows)) // 2)
            torch.cuda.empty_cache()
            log.warning("device memory holds no more rows; %d are written at a time from now on", self._rows)
            for row in rows:
                row.ids.clear()
                row.logps.clear()

    def _next(self, ids: list[int] | torch.Tensor, writing: Writing) -> torch.Tensor:
        """Logits behind the newest id of each row, shape [B, V]."""
        out_BV: torch.Tensor = self._output(self._states(ids, writing.lengths_B, writing))
        return out_BV

    def _graphs(self, memory: RowMemory, slots: int) -> StepGraphs | None:
        if self._device.type != "cuda" or not self._capturable:
            return None
        return StepGraphs(self._next, memory, slots, self._device)

    def _states(
        self, ids: list[int] | torch.Tensor, positions: list[int] | torch.Tensor, attentions: "Reading | Writing"
    ) -> Any:
        ids_1T, positions_1T = (torch.as_tensor(each, device=self._device)[None] for each in (ids, positions))
        with running(attentions):
            out = self._body(input_ids=ids_1T, position_ids=positions_1T, use_cache=False).last_hidden_state[0]
        if attentions.asked != self._expected:
            calls, windows = attentions.asked
            raise CannotPack(f"{calls} attentions, {windows} of them sliding, went through the pack")
        return out


class _Run:
    """One call. Rows under way stand in the first slots."""

    def __init__(
        self, decoder: PackedDecoder, rows: Sequence[_Row], stop: Collection[int], temperature: float, top_p: float
    ) -> None:
        self._decoder = decoder
        self._waiting = [row for row in rows if row.limit > 0][::-1]
        self._under_way: list[_Row] = []
        self._stop = frozenset(stop)
        self._temperature = temperature
        self._nucleus = TopPLogitsWarper(top_p) if top_p < 1.0 else None
        slots = min(decoder._rows, len(self._waiting))
        self._slots = slots
        self._memory = RowMemory(slots, decoder._device)
        if self._waiting:
            self._memory.reserve(max(row.length for row in self._waiting))
        self._graphs = decoder._graphs(self._memory, slots)
        self._first: dict[tuple[int, ...], torch.Tensor] = {}
        """Logits behind the prompts whose rows are not all under way, shape [V] each."""

    def to_the_end(self) -> None:
        while self._waiting or self._under_way:
            while self._waiting and len(self._under_way) < self._slots:
                self._admit()
            if self._under_way:
                self._step()

    def _admit(self) -> None:
        """As many prompts as one pass reads, and the first id of each of their rows that has a slot."""
        start = len(self._under_way)
        taken = [self._waiting.pop()]
        prompts = [taken[0].prompt]
        while self._waiting and start + len(taken) < self._slots:
            following = self._waiting[-1].prompt
            if following != prompts[-1]:
                if sum(map(len, prompts)) + len(following) > _PROMPT_TOKENS:
                    break
                prompts.append(following)
            taken.append(self._waiting.pop())
        logits = self._read(taken, prompts, start)
        self._under_way += taken
        self._draw(torch.stack(logits), start)

    def _read(self, taken: list[_Row], prompts: list[Ids], start: int) -> list[torch.Tensor]:
        """Logits behind the prompt of each taken row, whose keys are then in its slot."""
        holder = {tuple(row.prompt): slot for slot, row in enumerate(self._under_way)}
        fresh = [ids for ids in prompts if not (tuple(ids) in self._first and tuple(ids) in holder)]
        for slot, row in enumerate(taken, start):
            holder.setdefault(tuple(row.prompt), slot)
        if fresh:
            reading = Reading(fresh, [holder[tuple(ids)] for ids in fresh], self._memory, self._decoder._device)
            states_TE = self._decoder._states(reading.pack.ids, reading.pack.positions, reading)
            ends = torch.tensor([len(ids) for ids in fresh]).cumsum(0) - 1
            logits = self._decoder._output(states_TE[ends.to(states_TE.device)])
            self._first = {**self._first, **{tuple(ids): each for ids, each in zip(fresh, logits, strict=True)}}
        found = []
        for slot, row in enumerate(taken, start):
            key = tuple(row.prompt)
            if holder[key] != slot:
                self._memory.copy(holder[key], slot, len(row.prompt))
            found.append(self._first[key])
        following = tuple(self._waiting[-1].prompt) if self._waiting else None
        self._first = {key: each for key, each in self._first.items() if key == following}
        return found

    def _step(self) -> None:
        """The next id of every row under way."""
        newest = [row.ids[-1] for row in self._under_way]
        lengths = [row.length - 1 for row in self._under_way]
        logits_BV = None if self._graphs is None else self._graphs.logits(newest, lengths)
        if logits_BV is None:
            if self._graphs is not None:
                self._graphs, self._decoder._capturable = None, False
            longest = max(lengths) + 1
            lengths_B = torch.tensor(lengths, device=self._decoder._device)
            writing = Writing(lengths_B, self._memory, longest=longest, even=len(set(lengths)) == 1)
            logits_BV = self._decoder._next(newest, writing)
        self._draw(logits_BV, 0)

    def _draw(self, logits_BV: torch.Tensor, start: int) -> None:
        """An id to each row from the slot `start` on; what is finished leaves."""
        logps_BV = (logits_BV.float() / (self._temperature or 1.0)).log_softmax(dim=-1)
        if self._temperature == 0:
            drawn_B = logps_BV.argmax(dim=-1)
        else:
            kept_BV = logps_BV if self._nucleus is None else self._nucleus(None, logps_BV)
            drawn_B = _drawn(kept_BV.exp())
        logps_B = logps_BV.gather(1, drawn_B[:, None])[:, 0]
        for row, token, logp in zip(self._under_way[start:], drawn_B.tolist(), logps_B.tolist(), strict=True):
            row.ids.append(token)
            row.logps.append(logp)
        self._leave()

    def _leave(self) -> None:
        """The last row goes into the slot of one that is finished."""
        rows = self._under_way
        for slot in reversed(range(len(rows))):
            if rows[slot].ids[-1] in self._stop or len(rows[slot].ids) == rows[slot].limit:
                last = rows.pop()
                if slot < len(rows):
                    self._memory.copy(len(rows), slot, last.length - 1)
                    rows[slot] = last


def _drawn(p_BV: torch.Tensor) -> torch.Tensor:
    """An id a row, shape [B], by one random number a row: `torch.multinomial` draws one for every id there is."""
    sums_BV = p_BV.cumsum(dim=-1, dtype=torch.float64)
    all_B1 = sums_BV[:, -1:]
    at_B1 = torch.rand(len(p_BV), 1, dtype=torch.float64, device=p_BV.device) * all_B1
    # The first whose sum is larger, so that an id of probability 0 is never drawn.
    return torch.searchsorted(sums_BV, at_B1.minimum(all_B1.nextafter(-all_B1)), right=True)[:, 0]


class _Added(torch.nn.Module):
    """A linear layer whose weight is W + ΔW, of layers that are trained elsewhere."""

    def __init__(self, adapted: LoraLinear) -> None:
        super().__init__()
        # Not as a child: its weights are not this module's.
        self._adapted = [adapted]
        base: Any = adapted.get_base_layer()
        self._base = base
        self._weight = torch.empty_like(base.weight)

    def renew(self) -> None:
        (adapted,) = self._adapted
        torch.add(self._base.weight, sum(map(adapted.get_delta_weight, adapted.active_adapters)), out=self._weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self._weight, self._base.bias)


def _with_adapters_added(body: Any) -> Iterator[_Added]:
    """Puts such layers in place of LoRA's plain ones."""
    for part in list(body.modules()):
        for name, child in list(part.named_children()):
            if type(child) is LoraLinear and not any(child.use_dora.values()):
                added = _Added(child)
                setattr(part, name, added)
                yield added
