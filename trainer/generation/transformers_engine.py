"""Decoding in this process: one batch after another, packed (`rewright.trainer.generation.packed_way`), or where that
does not suit the model with transformers' `generate`, padded on the left and written until the last answer ends.

Promises: the batches are those of the source, so that the same batches give the same texts (float32, same machine); a
batch that does not fit into the device's memory is halved until it does; an answer ends at its own row's limit,
whatever its neighbours' prompts are.

Not covered: rows replaced across batches, speculation, models spread over several devices.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import first_line
from rewright.service.models.locating import Located
from rewright.trainer.errors import BackboneError
from rewright.trainer.generation.base import Answered, Asked, BusyTime, Decoding, Source, seed_of
from rewright.trainer.generation.packed_way import PackedWay
from rewright.trainer.models.policy import (
    context_window,
    device_of,
    dtype_of,
    load_model,
    load_tokenizer,
    without_adapter,
)
from rewright.trainer.recipes.blocks import Backbone

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class _Row(NamedTuple):
    """prompt: its ids; room: the most tokens that may be written behind it; draw: as in `Asked`."""

    prompt: list[int]
    room: int
    draw: int


class TransformersEngine:
    def __init__(
        self,
        located: Located,
        backbone: Backbone,
        chat: ChatFormat,
        decoding: Decoding,
        *,
        adapter: Path | None,
        batch_size: int,
    ) -> None:
        self.batch_size = batch_size
        self.under_way = batch_size
        self._chat = chat
        self._decoding = decoding
        self._tokenizer: Any = load_tokenizer(located)
        self._device = device_of(backbone)
        model: Any = load_model(located, backbone)
        self._stop = chat.stop_ids
        self._window = context_window(model, self._tokenizer, located)
        if adapter is not None:
            model = with_adapter(model, adapter, merge=dtype_of(backbone) == torch.float32)
        self._model = model.requires_grad_(False).eval().to(self._device)
        # Whatever `generate` is not told it takes from the model's own defaults: there shall be none.
        self._model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        self._way = PackedWay(without_adapter(self._model))
        self._busy = BusyTime()

    @property
    def busy_s(self) -> float:
        return self._busy.seconds

    def run(self, source: Source) -> Iterator[Answered]:
        while (batch := source.next_batch(wait=True)) is not None:
            yield from self._answers(batch)

    def describe(self) -> dict[str, Any]:
        import transformers

        return {
            "name": "transformers",
            "version": transformers.__version__,
            "precision": str(self._model.dtype).removeprefix("torch."),
            "device": self._device.type,
            "batch_size": self.batch_size,
        }

    def close(self) -> None:
        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _answers(self, batch: Sequence[Asked]) -> list[Answered]:
        with self._busy:
            prompts = [self._chat.encode_prompt(asked.messages) for asked in batch]
            room = [min(self._decoding.max_tokens, self._window - len(ids)) for ids in prompts]
            fitting = [place for place, tokens in enumerate(room) if tokens > 0]
            rows = [_Row(prompts[p], room[p], batch[p].draw) for p in fitting]
            written = iter(self._halving(rows))
            return [
                self._answered(asked, next(written))
                if room[place] > 0
                else Answered(asked.key, "", 0, "prompt_too_long")
                for place, asked in enumerate(batch)
            ]

    def _answered(self, asked: Asked, written: tuple[list[int], bool]) -> Answered:
        ids, ended = written
        text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Answered(asked.key, str(text).strip(), len(ids), "stop" if ended else "length")

    def _halving(self, rows: list[_Row]) -> list[tuple[list[int], bool]]:
        if not rows:
            return []
        try:
            return self._write(rows)
        except torch.OutOfMemoryError as error:
            if len(rows) == 1:
                raise BackboneError(
                    f"one prompt of {len(rows[0].prompt)} tokens with up to {rows[0].room} new ones does not fit into "
                    f"{self._device}; lower generation.max_tokens, or use a smaller precision"
                ) from error
        torch.cuda.empty_cache()
        middle = len(rows) // 2
        return self._halving(rows[:middle]) + self._halving(rows[middle:])

    @torch.inference_mode()
    def _write(self, rows: list[_Row]) -> list[tuple[list[int], bool]]:
        """New ids without the end of turn, and whether it came, a row."""
        prompts, room = [row.prompt for row in rows], [row.room for row in rows]
        d = self._decoding
        if d.temperature > 0:
            torch.manual_seed(seed_of(d.seed, prompts, [row.draw for row in rows]))
        written = self._way.write(prompts, room, self._stop, temperature=d.temperature, top_p=d.top_p)
        if written is not None:
            return [self._cut(each.ids) for each in written]
        return self._generate(prompts, room)

    def _generate(self, prompts: list[list[int]], room: list[int]) -> list[tuple[list[int], bool]]:
        longest = max(map(len, prompts))
        pad = int(self._tokenizer.pad_token_id)
        ids_BT = torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts], device=self._device)
        mask_BT = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=self._device)
        out_BT = self._model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            generation_config=self._config(max(room), pad),
            stopping_criteria=StoppingCriteriaList([_RoomOfEachRow(room, longest)]),
        )
        return [self._cut(row[:limit]) for row, limit in zip(out_BT[:, longest:].tolist(), room, strict=True)]

    def _cut(self, new: list[int]) -> tuple[list[int], bool]:
        end = next((place for place, token in enumerate(new) if token in self._stop), None)
        return (new, False) if end is None else (new[:end], True)

    def _config(self, max_new_tokens: int, pad: int) -> GenerationConfig:
        d = self._decoding
        sampling = {"temperature": d.temperature, "top_p": d.top_p, "top_k": 0} if d.temperature > 0 else {}
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens,
            do_sample=d.temperature > 0,
            eos_token_id=sorted(self._stop),
            pad_token_id=pad,
            **sampling,
        )


class _RoomOfEachRow(StoppingCriteria):
    """Ends a row when it has written as many tokens as it has room for."""

    def __init__(self, room: Sequence[int], prompt_length: int) -> None:
        self._ends = torch.tensor(room) + prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        return input_ids.shape[1] >= self._ends.to(input_ids.device)


def with_adapter(model: "PreTrainedModel", adapter: Path, *, merge: bool) -> Any:
    """Raises `BackboneError` where the adapter does not fit."""
    from peft import PeftModel

    try:
        wrapped: Any = PeftModel.from_pretrained(model, str(adapter))
    except Exception as error:
        raise BackboneError(f"the adapter {adapter} does not fit onto the backbone: {first_line(error)}") from error
    # In bfloat16 a small update would be lost in the rounding of the weight that it is added to.
    return wrapped.merge_and_unload() if merge else wrapped
