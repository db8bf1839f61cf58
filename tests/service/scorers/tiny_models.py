"""Small real tokenizers, chat templates and random models, built in memory: what the NLL tests run on.

The templates are written for these tests; each behaves like those of one family of instruction-tuned models.
"""

import json
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from rewright.service.models.backbone import Backbone
from rewright.service.models.eos import eos_ids

CORPUS = [
    "What is the sum of 12 and 30? The sum is 42, so the answer is 42.",
    "A train goes 60 km in one hour; how far does it go in three hours? It goes 180 km.",
    "user assistant system model question answer Today is a day in January December 2024 2025 2026",
    "yes no maybe, therefore we have x = 3 and y = 4. Thus the result is \\boxed{7}.",
]

TRIMS_AND_PRINTS_THE_DATE = (
    "{{ bos_token }}{% set now = strftime_now('%d %b %Y') if strftime_now is defined else 'never' %}"
    "<|start|>system<|stop|>\n\nCutting off: December 2023\nToday: {{ now }}\n\n<|turn|>"
    "{% for m in messages %}<|start|>{{ m['role'] }}<|stop|>\n\n{{ m['content'] | trim }}<|turn|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)
NO_HEADER_AND_A_LEADING_SPACE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[ASK] {{ m['content'] }}[/ASK]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
THINKING_IN_THE_LAST_TURN = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}"
    "{{ m['content'] }}<|turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
THINKING_IN_THE_GENERATION_PROMPT_ALONE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n"
    "{% if not enable_thinking | default(true) %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
NO_SYSTEM_TURN = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system turn here') }}{% endif %}"
    "<|start|>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<|turn|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>model\n{% endif %}"
)
SWALLOWING_MARKS = (
    "{% for m in messages %}<|swallow|>\n{{ m['role'] }}<|stop|>\n{{ m['content'] }}<|turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|swallow|>\nassistant<|stop|>\n{% endif %}"
)

CONTROL = ["<s>", "</s>", "<|start|>", "<|stop|>", "<|turn|>", "[ASK]", "[/ASK]"]


def tiny_tokenizer(template: str, *, words_start_with_a_mark: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE as in GPT-2 and its heirs, or words that start with "▁" as in sentencepiece."""
    backend = Tokenizer(models.BPE(byte_fallback=words_start_with_a_mark, unk_token=None))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if words_start_with_a_mark:
        backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        backend.decoder = decoders.Sequence([decoders.Metaspace(prepend_scheme="first"), decoders.ByteFallback()])
        alphabet = [chr(c) for c in range(32, 127)] + ["▁", "\n"]
    else:
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
    bytes_ = [f"<0x{b:02X}>" for b in range(256)] if words_start_with_a_mark else []
    trainer = trainers.BpeTrainer(vocab_size=800, initial_alphabet=alphabet, special_tokens=bytes_, show_progress=False)
    backend.train_from_iterator(CORPUS, trainer)
    if bytes_:
        backend = _with_ordinary_bytes(backend)
    backend.add_special_tokens([AddedToken(c, normalized=False) for c in CONTROL])
    backend.add_special_tokens([AddedToken("<|swallow|>", normalized=False, rstrip=True)])
    backend.add_tokens([AddedToken(c, normalized=False, special=False) for c in ("<think>", "</think>", "<table>")])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=template
    )


def tiny_model(family: str, **changes: Any) -> Any:
    """A random float32 model of a few thousand weights, the same in every run."""
    config: dict[str, Any] = {
        "vocab_size": 1200, "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.3,
        "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(11)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **(config | changes)))
    return made.float().eval().requires_grad_(False)


def tiny_backbone(family: str, template: str = TRIMS_AND_PRINTS_THE_DATE, **changes: Any) -> Backbone:
    tokenizer = tiny_tokenizer(template)
    return Backbone(
        model=tiny_model(family, **changes),
        tokenizer=tokenizer,
        eos_ids=eos_ids(tokenizer),
        name=f"tiny-{family}",
        revision="random",
        device=torch.device("cpu"),
        dtype=torch.float32,
        context_window=512,
        embedded=False,
    )


def _with_ordinary_bytes(backend: Tokenizer) -> Tokenizer:
    """Byte-fallback tokens are ordinary vocabulary; only the trainer wants them as special tokens."""
    content = json.loads(backend.to_str())
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))
