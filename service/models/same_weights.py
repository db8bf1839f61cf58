"""A second module over the same weights, that runs another way; the first, which others may be running, stays."""

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

_WINDOWS = ("sliding_window", "attention_window_size", "attention_chunk_size", "local_attention")


def same_weights(module: Any, *, attention: str) -> Any:
    """attention: the implementation by its name at transformers'; `eager` is what a model's own code spells out."""
    weights = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    twin = copy.deepcopy(module, weights)
    for config in _configs(twin):
        config._attn_implementation = attention
    return twin


def with_short_windows(module: Any, *, window: int) -> Any:
    """The same model, but where its attention looks back over a window or a chunk, that is `window` tokens long.

    A text of a few tokens then shows whether a way of running the model keeps to its windows at all.
    """
    twin = same_weights(module, attention=module.config._attn_implementation)
    for part in chain(twin.modules(), _configs(twin)):
        for name in _WINDOWS:
            length = getattr(part, name, None)
            if isinstance(length, int) and not isinstance(length, bool) and length > window:
                setattr(part, name, window)
    return twin


def _configs(module: Any) -> Iterator[Any]:
    for part in module.modules():
        if (config := getattr(part, "config", None)) is not None:
            yield config
