"""Decoding with vLLM: its engine is stepped here, and gets new prompts while others are being written.

Promises: at most `under_way` prompts are in the engine; a source that has nothing ready does not stop those under way.
Batches form themselves, so that texts may differ in rare tokens from run to run, even greedily. On a CPU, where vLLM
0.32 hangs over an adapter, it gets the weights with the adapter merged into them, in float32.

Not covered: a vLLM server of its own, tensor parallelism over machines.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import first_line
from rewright.service.models.locating import Located
from rewright.trainer.errors import BackboneError
from rewright.trainer.generation.base import Answered, Asked, BusyTime, Decoding, Source, seed_of
from rewright.trainer.generation.transformers_engine import with_adapter
from rewright.trainer.models.adapter_folder import lora_rank
from rewright.trainer.models.policy import load_model, load_tokenizer
from rewright.trainer.recipes.blocks import Backbone

UNDER_WAY = 256
"""vLLM's own default for how many sequences are decoded at once; more would only wait inside it."""
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM takes for max_lora_rank."""


class VllmEngine:
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
        import vllm
        from vllm.platforms import current_platform

        # A seed of each request ends vLLM 0.32's engine on a CPU ("CPU Generator does not use offset"); there the
        # engine's own seed is all there is.
        self._seeds_requests = decoding.temperature > 0 and not current_platform.is_cpu()
        self.batch_size = batch_size
        self.under_way = max(UNDER_WAY, batch_size)
        self._chat = chat
        self._decoding = decoding
        self._tokenizer: Any = load_tokenizer(located)
        self._precision = backbone.precision
        source, lora = located.source, {}
        self._folders = ExitStack()
        if adapter is not None and current_platform.is_cpu():
            source = self._folders.enter_context(tempfile.TemporaryDirectory(prefix="rewright-merged-"))
            _write_merged(located, backbone, adapter, Path(source))
            self._precision, adapter = "float32", None
        elif adapter is not None:
            lora = {"enable_lora": True, "max_lora_rank": _rank(adapter), "max_loras": 1}
        try:
            # generation_config: the model's own sampling defaults shall not apply.
            self._llm: Any = vllm.LLM(
                model=source,
                tokenizer=located.source,
                dtype=self._precision,
                generation_config="vllm",
                seed=decoding.seed,
                **lora,
            )
        except Exception as error:
            self._folders.close()
            raise BackboneError(f"backbone.model: vLLM cannot load {located.name!r}: {first_line(error)}") from error
        self._window = int(self._llm.llm_engine.model_config.max_model_len)
        self._lora: Any = None
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._lora = LoRARequest("rewriter", 1, str(adapter.resolve()))
        self._busy = BusyTime()

    @property
    def busy_s(self) -> float:
        return self._busy.seconds

    def run(self, source: Source) -> Iterator[Answered]:
        engine = self._llm.llm_engine
        keys: dict[str, Any] = {}
        number = 0
        over = False
        while keys or not over:
            while not over and len(keys) + self.batch_size <= self.under_way:
                batch = source.next_batch(wait=not keys)
                if batch is None:
                    over = True
                    break
                if not batch:
                    break
                for asked in batch:
                    refused = self._enter(engine, str(number), asked)
                    if refused is not None:
                        yield refused
                    else:
                        keys[str(number)] = asked.key
                    number += 1
            if keys:
                yield from self._step(engine, keys)

    def describe(self) -> dict[str, Any]:
        import vllm

        return {"name": "vllm", "version": vllm.__version__, "precision": self._precision, "under_way": self.under_way}

    def close(self) -> None:
        del self._llm
        self._folders.close()

    def _enter(self, engine: Any, request: str, asked: Asked) -> Answered | None:
        """Hand a prompt to the engine; the answer of one that does not fit."""
        from vllm import SamplingParams

        ids = self._chat.encode_prompt(asked.messages)
        room = min(self._decoding.max_tokens, self._window - len(ids))
        if room < 1:
            return Answered(asked.key, "", 0, "prompt_too_long")
        params = SamplingParams(
            temperature=self._decoding.temperature,
            top_p=self._decoding.top_p,
            max_tokens=room,
            seed=seed_of(self._decoding.seed, [ids], [asked.draw]) if self._seeds_requests else None,
            stop_token_ids=sorted(self._chat.stop_ids),
            # Its own end of sequence may be a mark that closes a reasoning part.
            ignore_eos=True,
        )
        engine.add_request(request, {"prompt_token_ids": ids}, params, lora_request=self._lora)
        return None

    def _step(self, engine: Any, keys: dict[str, Any]) -> list[Answered]:
        with self._busy:
            try:
                finished = [output for output in engine.step() if output.finished]
            except Exception as error:
                raise BackboneError(
                    f"generation.engine: vLLM ended while it was writing: {first_line(error)}. Its own log says more; "
                    "run the same command again to go on, or set the engine to transformers"
                ) from error
        answers = []
        for output in finished:
            written = output.outputs[0]
            ended = written.finish_reason == "stop"
            ids = list(written.token_ids)
            if ended and ids and ids[-1] in self._chat.stop_ids:
                ids.pop()
            text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            answers.append(Answered(keys.pop(output.request_id), text.strip(), len(ids), "stop" if ended else "length"))
        return answers


def _rank(adapter: Path) -> int:
    return next((rank for rank in _RANKS if rank >= lora_rank(adapter)), _RANKS[-1])


def _write_merged(located: Located, backbone: Backbone, adapter: Path, folder: Path) -> None:
    """In float32: in bfloat16 a small update would be lost in the rounding of the weight that it is added to."""
    exact = backbone.model_copy(update={"precision": "float32"})
    with_adapter(load_model(located, exact), adapter, merge=True).save_pretrained(folder)
