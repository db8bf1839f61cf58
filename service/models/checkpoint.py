"""What a checkpoint may hold: each of its weights is used by the model, or is known not to matter for a text.

transformers takes the weights that it has a place for and warns of the rest. The rest may be what gives the others
their meaning: the scales of a quantisation that it does not know, an adapter that was not merged, layers that
`config.json` does not count.

Promises: such a checkpoint is a `ModelError` that says what is wrong and what helps. What may be left over is listed
here, with the reason: heads that guess several tokens ahead, tables that the model computes for itself, and what takes
in images and sound where the model of the text alone is loaded.

Not covered: weights that have a place and wrong values.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from rewright.service.models.errors import ModelError, first_line
from rewright.service.models.locating import Located

_LOOKED_AT = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
"""Quantised weights have scales, and those are of these types."""

_UNQUANTISED = "name the checkpoint that is not quantised, or run this one in an engine that knows its method"
_MERGE = "merge the adapter into the weights (peft's merge_and_unload, then save_pretrained) and name that folder"

_GUESSES_AHEAD = re.compile(r"(^|\.)(mtp|medusa)(_\w+)?\.")
"""Heads for speculative decoding: they read the model's last layer, and nothing of the model reads them."""
_MARKS_OF_A_GUESSING_LAYER = re.compile(r"\.(eh_proj|enorm|hnorm|shared_head)\.")
"""A layer behind the last that is such a head (DeepSeek-V3, GLM-4.5)."""
_COMPUTED = re.compile(r"(^|\.)(inv_freq|position_ids|masked_bias)$")
"""Tables of positions and masks under names of older versions; `config.json` says all that is in them."""
_SENSES = re.compile(
    r"(^|\.)(visual|vision|image|audio|sound|multi_modal|multimodal|mm|embed_vision|embed_audio)(_\w+)?\."
)
_SENSES_IN_CONFIG = ("vision_config", "audio_config")
_ADAPTER = re.compile(r"\.(lora_\w+|base_layer|modules_to_save|hada_w\d_\w+|oft_\w+|vera_\w+|ia3_l)(\.|$)")
_QUANTISED = re.compile(
    r"(\b|_)(((weight|input|output|act|activation|k|q|v|kv)_)?scales?(_inv|_2)?|scb|qweight|q?zeros|zero_points?|g_idx"
    r"|weight_packed|weight_shape|absmax|(nested_)?quant_(map|state\S*)|amax|codebooks?|\w*quantizer\S*)$",
    re.IGNORECASE,
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")


def refuse_unknown_forms(located: Located, config: Any, *, setting: str) -> None:
    """Before anything is loaded. config: as transformers reads it. Raises `ModelError`."""
    where = f"{setting}.model: {located.name!r}"
    if find_adapter_config_file(located.source) is not None:
        raise ModelError(f"{where} holds an adapter (adapter_config.json), which nothing here would apply; {_MERGE}")
    stated = getattr(config, "quantization_config", None) or getattr(
        config.get_text_config(decoder=True), "quantization_config", None
    )
    if stated is None:
        if method := _quantised_beside_the_config(located):
            raise ModelError(
                f"{where} is quantised ({method}, says hf_quant_config.json), and config.json does not say so, so that "
                f"transformers would drop the scales; {_UNQUANTISED}"
            )
        return
    method = (stated if isinstance(stated, dict) else stated.to_dict()).get("quant_method")
    method = getattr(method, "value", method)
    if str(method) not in AUTO_QUANTIZATION_CONFIG_MAPPING and method != "bitsandbytes":
        raise ModelError(
            f"{where} is quantised by {method!r} (quantization_config), which transformers does not know and would "
            f"skip; {_UNQUANTISED}"
        )


def refuse_leftovers(located: Located, loaded: PreTrainedModel, report: dict[str, Any], *, setting: str) -> None:
    """report: what transformers says of loading. Raises `ModelError` for weights that are missing or have no place."""
    where = f"{setting}.model: {located.name!r}"
    left = sorted(set(report["unexpected_keys"]) - _harmless(report["unexpected_keys"], loaded))
    if found := [key for key in left if _ADAPTER.search(key)]:
        raise ModelError(f"{where} holds an adapter that was not merged ({_some(found)}); {_MERGE}")
    if found := [key for key in left if _QUANTISED.search(key)]:
        raise ModelError(
            f"{where} is quantised in a way that transformers did not apply: it would drop {_some(found)}; "
            f"{_UNQUANTISED}"
        )
    if absent := sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"]):
        raise ModelError(
            f"{where} lacks weights of a causal language model ({_some(absent)}); name a model that was trained to "
            "continue text"
        )
    layers = _count(loaded)
    if found := [key for key in left if layers is not None and _layer(key) >= layers]:
        raise ModelError(
            f"{where}: config.json counts {layers} layers, and the weights go on ({_some(found)}); correct "
            "num_hidden_layers, or name the folder that save_pretrained wrote"
        )
    if left:
        raise ModelError(
            f"{where} holds weights that the model of its config.json has no place for ({_some(left)}); name a "
            "checkpoint whose config.json belongs to its weights"
        )


def refuse_not_finite(located: Located, loaded: PreTrainedModel, *, setting: str) -> None:
    """Raises `ModelError` for weights that are NaN or infinite, as a training that went wrong saves them."""
    broken = [name for name, weight in loaded.named_parameters() if not _finite(weight)]
    if broken:
        raise ModelError(
            f"{setting}.model: {located.name!r} holds weights that are NaN or infinite ({_some(broken)}); it was saved "
            "by a training that had gone wrong, or by a conversion: name a checkpoint from before"
        )


def _finite(weight: torch.Tensor) -> bool:
    if weight.dtype not in _LOOKED_AT or weight.numel() == 0 or weight.device.type == "meta":
        return True
    # One pass without a mask as large as the weights; the largest value is NaN where one is.
    least, most = torch.aminmax(weight.detach())
    if weight.dtype == torch.float16:  # infinite perhaps for want of range alone, which the first forward pass tells
        return not bool(torch.isnan(most))
    return bool(torch.isfinite(least)) and bool(torch.isfinite(most))


def _harmless(keys: Collection[str], loaded: PreTrainedModel) -> set[str]:
    computed = {name for name, _ in loaded.named_non_persistent_buffers()}
    layers = _count(loaded)
    behind: dict[int, list[str]] = defaultdict(list)
    for key in keys:
        if layers is not None and _layer(key) >= layers:
            behind[_layer(key)].append(key)
    guessing = {n for n, inside in behind.items() if any(_MARKS_OF_A_GUESSING_LAYER.search(key) for key in inside)}
    senses = any(getattr(loaded.config, name, None) is not None for name in _SENSES_IN_CONFIG)
    return {
        key
        for key in keys
        if key in computed
        or _COMPUTED.search(key)
        or _GUESSES_AHEAD.search(key)
        or _layer(key) in guessing
        or (senses and _SENSES.search(key))
    }


def _quantised_beside_the_config(located: Located) -> str | None:
    """The method in NVIDIA's own file, which transformers does not read."""
    file = cached_file(
        located.source,
        "hf_quant_config.json",
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    if file is None:
        return None
    try:
        with open(file, encoding="utf-8") as text:
            method = json.load(text)["quantization"]["quant_algo"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"unreadable: {first_line(error)}"
    return str(method) if method else None


def _count(loaded: PreTrainedModel) -> int | None:
    count = getattr(loaded.config.get_text_config(decoder=True), "num_hidden_layers", None)
    return count if isinstance(count, int) else None


def _layer(key: str) -> int:
    found = _LAYER.search(key)
    return int(found[1]) if found else -1


def _some(keys: Iterable[str]) -> str:
    first, *more = keys
    return f"{first} and {len(more)} more" if more else first
