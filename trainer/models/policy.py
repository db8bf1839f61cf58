"""The policy R_φ as a recipe's block `backbone` asks for it, and LoRA on top.

The model room (`rewright.service.models`) locates, loads and renders, so that what is trained and written is what the
service scores. Here its errors become the trainer's own, naming `backbone.model`, and weights are loaded for training.

Not covered: quantised training, adapters of other people as a start.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rewright.service.models import locating
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.errors import ModelError
from rewright.service.models.locating import Located
from rewright.service.models.rendering import Rendering
from rewright.trainer.errors import BackboneError
from rewright.trainer.recipes.blocks import Backbone, Lora

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger(__name__)
_SETTING = "backbone"


def locate(backbone: Backbone) -> Located:
    """Raises `BackboneError` where the name leads nowhere. A GGUF file is unpacked on the way."""
    with _as_backbone_error():
        return locating.locate(backbone.model, setting=_SETTING)


def load_tokenizer(located: Located) -> "PreTrainedTokenizerBase":
    """It pads on the left. Raises `BackboneError` where there is none, or none with a chat template."""
    from rewright.service.models import backbone as room

    with _as_backbone_error():
        tokenizer = room.load_tokenizer(located, setting=_SETTING)
    tokenizer.padding_side = "left"
    return tokenizer


def chat_format(located: Located, tokenizer: "PreTrainedTokenizerBase", rendering: Rendering) -> ChatFormat:
    """The one renderer, of a located model's tokenizer; what it came to is logged.

    Raises `BackboneError` where the template fails, cannot be split around an answer, or ends one with nothing.
    """
    from rewright.service.models.eos import located_eos_ids

    with _as_backbone_error():
        chat = ChatFormat.of(tokenizer, rendering, eos_ids=located_eos_ids(located, tokenizer), setting=_SETTING)
    log.info("%s: %s", located.title, chat.picture())
    return chat


def load_model(located: Located, backbone: Backbone) -> "PreTrainedModel":
    """On the CPU still; the trainer places it. Raises `BackboneError` where it cannot be loaded."""
    from rewright.service.models import backbone as room

    with _as_backbone_error():
        return room.load_weights(located, dtype=dtype_of(backbone), setting=_SETTING)


def context_window(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", located: Located) -> int:
    """Tokens, prompt and answer together. Raises `BackboneError` where the model does not state it."""
    from rewright.service.models import backbone as room

    with _as_backbone_error():
        return room.context_window(model, tokenizer, model=located.name, setting=_SETTING)


def device_of(backbone: Backbone) -> "torch.device":
    """auto: cuda where there is one."""
    from rewright.service.models.device import chosen_device

    return chosen_device(backbone.device, setting=_SETTING)


def dtype_of(backbone: Backbone) -> "torch.dtype":
    """auto: bfloat16 where the device has arithmetic of its own for it, else float32."""
    from rewright.service.models.device import chosen_dtype

    return chosen_dtype(backbone.precision, device_of(backbone))


def lora_config(lora: Lora) -> "LoraConfig":
    """The recipe's block in PEFT's words."""
    from peft import LoraConfig

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )


def without_adapter(model: Any) -> Any:
    """The model inside PEFT's wrapper, its adapted layers still in it; another model as it is."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _as_backbone_error() -> Iterator[None]:
    try:
        yield
    except ModelError as error:
        raise BackboneError(error.message) from error
