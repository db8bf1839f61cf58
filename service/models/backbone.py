"""Loads π0, or any other causal language model: a hub name, a folder, a GGUF file or the embedded model.

Promises: what comes back can score text (its logits do not look ahead, no weight is freshly initialised, it has a chat
template and a known context window) and carries a revision that identifies the weights; anything else is a
`ModelError` that names the setting and its fix.

Not covered: quantised compute, models spread over several devices, adapters.
"""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from rewright.service.models.checkpoint import refuse_leftovers, refuse_not_finite, refuse_unknown_forms
from rewright.service.models.device import chosen_device, chosen_dtype
from rewright.service.models.eos import eos_ids
from rewright.service.models.errors import ModelError, first_line
from rewright.service.models.locating import Located, locate
from rewright.service.models.same_weights import same_weights

_BLIND = {torch.float32: 1e-4, torch.bfloat16: 0.03, torch.float16: 0.01}
"""How much the rounding of a batch may seem to change what stands before a token that was changed, of what it changes
behind it."""
_WINDOW_NAMES = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")


@dataclass(frozen=True)
class Backbone:
    """A causal language model in eval mode, without gradients, on its device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    """With which the model ends a sequence, by its tokenizer and configurations."""
    name: str
    """As configured; "embedded" resolves to a readable name."""
    revision: str
    """Hub commit, or a hash of the files that were loaded: identifies the weights."""
    device: torch.device
    dtype: torch.dtype
    context_window: int
    """Tokens, prompt and answer together."""
    embedded: bool


def load_backbone(model: str, *, precision: str, device: str, setting: str = "scorers.nll") -> Backbone:
    """Load `model` (hub name, folder, `.gguf` file or `embedded`).

    precision: auto, float32, bfloat16 or float16; auto is bfloat16 where the device computes it fast, else float32.
    device: auto, cpu, cuda or cuda:N; auto is cuda where there is one.
    setting: the block that `model` comes from, for error messages.

    Raises `ModelError` when the model cannot be had or cannot score text.
    """
    place = chosen_device(device, setting=setting)
    dtype = chosen_dtype(precision, place)
    located = locate(model, setting=setting)
    tokenizer = load_tokenizer(located, setting=setting)
    loaded: Any = load_weights(located, dtype=dtype, setting=setting)
    try:
        loaded.requires_grad_(False).eval().to(place)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{setting}.model: {model!r} does not fit into {place} in {str(dtype).removeprefix('torch.')}; use a "
            "smaller model, a lower precision or another device"
        ) from error
    _refuse_looking_ahead(loaded, place, model=model, setting=setting)
    return Backbone(
        model=loaded,
        tokenizer=tokenizer,
        eos_ids=eos_ids(tokenizer, loaded.generation_config, loaded.config),
        name=located.title,
        revision=located.revision or "unknown",
        device=place,
        dtype=dtype,
        context_window=context_window(loaded, tokenizer, model=model, setting=setting),
        embedded=located.embedded,
    )


def load_tokenizer(located: Located, *, setting: str) -> PreTrainedTokenizerBase:
    """With a padding token. Raises `ModelError` where there is none, or none with a chat template."""
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(located.source)
    except Exception as error:
        raise ModelError(
            f"{setting}.model: cannot load the tokenizer of {located.name!r}: {first_line(error)}; name a hub model, "
            "a folder or a .gguf file that transformers can load"
        ) from error
    if not tokenizer.chat_template:
        raise ModelError(
            f"{setting}.model: the tokenizer of {located.name!r} has no chat template; name an instruction-tuned "
            "model, or put a chat_template.jinja into its folder"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    loaded: PreTrainedTokenizerBase = tokenizer
    return loaded


def load_weights(located: Located, *, dtype: torch.dtype, setting: str) -> PreTrainedModel:
    """On the CPU, as transformers loads them; the text model of a vision-language one inside the whole.

    Raises `ModelError` where it cannot, would make weights up or drop some, or where some are not finite
    (`checkpoint`).
    """
    try:
        config: Any = AutoConfig.from_pretrained(located.source)
        refuse_unknown_forms(located, config, setting=setting)
        loaded, report = _class_for(config).from_pretrained(located.source, dtype=dtype, output_loading_info=True)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{setting}.model: cannot load {located.name!r} as a causal language model: {first_line(error)}; "
            "name a hub model, a folder or a .gguf file that transformers can load"
        ) from error
    refuse_leftovers(located, loaded, report, setting=setting)
    refuse_not_finite(located, loaded, setting=setting)
    weights: PreTrainedModel = loaded
    return weights


def _class_for(config: Any) -> Any:
    """Families that know no causal model of their own have a text model inside one that also takes images."""
    kind = type(config)
    images = kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not config.is_encoder_decoder
    return AutoModelForImageTextToText if images and kind not in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForCausalLM


def context_window(loaded: PreTrainedModel, tokenizer: Any, *, model: str, setting: str) -> int:
    """Tokens, prompt and answer together. Raises `ModelError` where neither weights nor tokenizer state it."""
    config = loaded.config.get_text_config(decoder=True)
    for attribute in _WINDOW_NAMES:
        window = getattr(config, attribute, None)
        if isinstance(window, int) and window > 0:
            return window
    if tokenizer.model_max_length < 10**9:  # transformers writes 1e30 for "not stated"
        return int(tokenizer.model_max_length)
    raise ModelError(
        f"{setting}.model: {model!r} states no context window; set model_max_length in its tokenizer_config.json"
    )


def _refuse_looking_ahead(loaded: PreTrainedModel, device: torch.device, *, model: str, setting: str) -> None:
    """An encoder loads as a "causal" model without complaint; its scores would be nonsense."""
    ids_T = torch.arange(3, 15, device=device) % loaded.config.get_text_config(decoder=True).vocab_size
    ids_BT = ids_T.repeat(2, 1)
    ids_BT[1, -1] = 0
    try:
        with torch.inference_mode():
            # A fused attention may look ahead where the model's own code would not.
            eager = same_weights(loaded, attention="eager")
            logits_BTV = eager(input_ids=ids_BT, use_cache=False).logits.float()
    except Exception as error:
        raise ModelError(
            f"{setting}.model: {model!r} loads, but cannot read a text by itself: {type(error).__name__}: "
            f"{first_line(error)}; name a causal language model"
        ) from error
    precision = str(loaded.dtype).removeprefix("torch.")
    if not logits_BTV.isfinite().all():
        raise ModelError(
            f"{setting}.precision: {model!r} overflows in {precision} (its logits are not finite); use "
            f"{'bfloat16 or float32' if loaded.dtype == torch.float16 else 'weights that are whole'}"
        )
    changed_T = (logits_BTV[0] - logits_BTV[1]).abs().mean(dim=1)
    if changed_T[:-1].mean() > _BLIND[loaded.dtype] * changed_T[-1]:
        raise ModelError(f"{setting}.model: {model!r} looks ahead (an encoder); name a causal language model")
