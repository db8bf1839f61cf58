"""Batched decoding of chat prompts: vLLM where it is installed, transformers else. Greedy unless told otherwise.

    with open_generator(Backbone(model="embedded"), decoding=Decoding(max_tokens=512)) as generator:
        for index, text, n_tokens, finish_reason in generator.stream(prompts):
            ...

Promises: prompts are read as they are needed and at most `under_way` of them are held, whatever their number; every
prompt gets exactly one answer, also one that does not fit into the model's window; the model's own sampling defaults
(a repetition penalty, say) never apply. With transformers, prompts are decoded in the batches in which they come, so
that in float32 the same batches give the same texts on the same machine.

Not covered: several answers per prompt, stop strings, images, decoding on several machines.
"""

import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from rewright.service.models.rendering import DEFAULT_RENDERING, Rendering
from rewright.trainer.errors import RecipeError
from rewright.trainer.generation.base import (
    GREEDY,
    Answered,
    Asked,
    Decoding,
    DecodingEngine,
    FinishReason,
    Messages,
    Source,
)
from rewright.trainer.models.adapter_folder import adapter_sha256
from rewright.trainer.models.policy import chat_format, load_tokenizer, locate
from rewright.trainer.recipes.blocks import Backbone

Engine = Literal["auto", "transformers", "vllm"]


class Generated(NamedTuple):
    """`Answered`, with the prompt's place in what was given to `Generator.stream`, counted from 0."""

    place: int
    text: str
    n_tokens: int
    finish_reason: FinishReason


class Generator(AbstractContextManager["Generator"]):
    """A loaded model that answers prompts. One stream at a time; give the memory back with `close`."""

    def __init__(self, engine: DecodingEngine, *, backbone: dict[str, Any], decoding: Decoding) -> None:
        self._engine = engine
        self._described = {"backbone": backbone, "decoding": dict(vars(decoding))}

    @property
    def batch_size(self) -> int:
        return self._engine.batch_size

    @property
    def under_way(self) -> int:
        return self._engine.under_way

    @property
    def busy_s(self) -> float:
        """Seconds spent decoding since the model was loaded."""
        return self._engine.busy_s

    def stream(self, prompts: Iterable[Messages]) -> Iterator[Generated]:
        """One answer per prompt: in order with transformers, as they are finished with vLLM."""
        for key, *rest in self._engine.run(_Lazily(prompts, self.batch_size)):
            yield Generated(key, *rest)  # type: ignore[arg-type]

    def run(self, source: Source) -> Iterator[Answered]:
        """Answers for a source that decides what is asked next."""
        return self._engine.run(source)

    def describe(self) -> dict[str, Any]:
        """What a text depends on: weights, adapter, template, decoding, engine."""
        return {**self._described, "engine": self._engine.describe()}

    def close(self) -> None:
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_generator(
    backbone: Backbone,
    *,
    adapter: Path | None = None,
    decoding: Decoding = GREEDY,
    engine: Engine = "auto",
    batch_size: int = 32,
    rendering: Rendering = DEFAULT_RENDERING,
) -> Generator:
    """Load a backbone (hub name, folder, `.gguf`, `embedded`), with a PEFT adapter on top where one is named.

    batch_size: prompts decoded together (transformers), handed over together (vLLM); rendering: how prompts are
    rendered and answers end, which should be as the service says it does (`/v1/info`).

    Raises `BackboneError` where model or adapter cannot be had, `RecipeError` for vLLM where it is not installed.
    """
    if batch_size < 1:
        raise RecipeError(f"generation.batch_size must be at least 1, not {batch_size}")
    chosen = _chosen(engine, backbone)
    located = locate(backbone)
    tokenizer = load_tokenizer(located)
    chat = chat_format(located, tokenizer, rendering)
    adapter_hash = adapter_sha256(adapter) if adapter is not None else None
    if chosen == "vllm":
        from rewright.trainer.generation.vllm_engine import VllmEngine

        opened: DecodingEngine = VllmEngine(located, backbone, chat, decoding, adapter=adapter, batch_size=batch_size)
    else:
        from rewright.trainer.generation.transformers_engine import TransformersEngine

        opened = TransformersEngine(located, backbone, chat, decoding, adapter=adapter, batch_size=batch_size)
    described = {
        "model": located.name,
        "revision": located.revision,
        "adapter": adapter_hash,
        "template": chat.describe(),
    }
    return Generator(opened, backbone=described, decoding=decoding)


class _Lazily:
    """A source that asks whatever an iterable gives, in order."""

    def __init__(self, prompts: Iterable[Messages], batch_size: int) -> None:
        self._asked = (Asked(index, messages) for index, messages in enumerate(prompts))
        self._batch_size = batch_size

    def next_batch(self, *, wait: bool) -> Sequence[Asked] | None:
        batch = [asked for _, asked in zip(range(self._batch_size), self._asked, strict=False)]
        return batch or None


def _chosen(engine: Engine, backbone: Backbone) -> Literal["transformers", "vllm"]:
    installed = importlib.util.find_spec("vllm") is not None
    if engine == "vllm" and not installed:
        raise RecipeError("generation.engine is vllm, which is not installed; pip install 'rewright[vllm]'")
    if engine == "auto":
        return "vllm" if installed and backbone.device != "cpu" else "transformers"
    return engine
