"""A candidate's first token is the one that generation would write behind the prefix, for every way in which tokenizers
mark the beginning of a word, and for real vocabularies where a folder of them is named (`make test-vocabularies`).

The judge is the tokenizer itself: it encodes prefix and candidate as one text, and where that text is cut at the end of
the prefix, what stands behind the cut is what must come out here.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.rendering import Rendering
from tests.service.models import template_kinds as kinds
from tests.service.scorers import tiny_models as tiny

VOCABULARIES = Path(os.environ.get("VOCABULARIES", "nowhere"))
FAMILIES = ("llama-bpe", "llama-spm", "phi-3", "qwen2", "deepseek-llm", "deepseek-coder", "falcon")
NO_VOCABULARIES = pytest.mark.skip(reason="VOCABULARIES names no folder; `make test-vocabularies` makes one")
SCHEMES = {
    "first": {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}},
    "always": {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}},
    "never": {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}},
    "prepended": {
        "pre_tokenizer": None,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
            ],
        },
    },
}
REAL = [
    (family, scheme, answering)
    for family in FAMILIES
    for scheme in (None, *SCHEMES)
    for answering in ("\nA:\n", "<|mark|>", "<|mark|>\n", "\n\nA: ", "</s>")
]
TEMPLATES = {
    "a line break after the header": tiny.NO_SYSTEM_TURN,
    "nothing after the header": kinds.CLOSED_ONLY_AT_THE_END,
    "a mark that swallows space": tiny.SWALLOWING_MARKS,
    "a space that the answer begins with": tiny.NO_HEADER_AND_A_LEADING_SPACE,
    "words, and a line break": kinds.TEXT_BEFORE_THE_END,
    "a space at the end of the prompt": (
        "{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }}\nA: "
        "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    ),
    "a colon": (
        "{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }} A:"
        "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    ),
}
CANDIDATES = ["Yes, 42", "42", "\\boxed{7} x", "(a) no", "the sum is 42.\n\nyes", "é", "  Yes  "]


def with_scheme(template: str, scheme: str) -> PreTrainedTokenizerFast:
    tokenizer = tiny.tiny_tokenizer(template, words_start_with_a_mark=True)
    changed = json.loads(tokenizer.backend_tokenizer.to_str()) | SCHEMES[scheme]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(changed)),
        bos_token="<s>", eos_token="</s>", pad_token="</s>", chat_template=template,
    )  # fmt: skip


def check(tokenizer: Any, chat: ChatFormat) -> int:
    """How many candidates could be compared; the others have a token that reaches over the end of the prefix."""
    compared = 0
    prefix = chat.encode_prefix("What is 12 and 30?")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is 12 and 30?"}], tokenize=False, add_generation_prompt=True
    )
    lead = chat._skeleton.lead
    for text in CANDIDATES:
        whole = tokenizer(prompt + lead + text.strip(), add_special_tokens=False)["input_ids"]
        candidate = chat.encode_candidate(text)
        said = tokenizer.decode([*prefix, *candidate])
        assert said.endswith(text.strip()), "nothing is lost"
        if whole[: len(prefix)] == prefix:
            assert candidate == whole[len(prefix) :]
            compared += 1
        else:
            # Generation has the prefix's last token already: it goes on with the word without a mark of its own.
            assert not tokenizer.convert_ids_to_tokens(candidate)[0].startswith(("▁", "Ġ"))
    return compared


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_first_token_is_what_generation_would_write(scheme: str, template: str) -> None:
    tokenizer = with_scheme(TEMPLATES[template], scheme)
    compared = check(tokenizer, ChatFormat.of(tokenizer, Rendering()))
    assert compared == len(CANDIDATES) or template == "a space at the end of the prompt"


@pytest.mark.parametrize("template", TEMPLATES)
def test_byte_level_vocabularies_likewise(template: str) -> None:
    tokenizer = tiny.tiny_tokenizer(TEMPLATES[template])
    compared = check(tokenizer, ChatFormat.of(tokenizer, Rendering()))
    assert compared == len(CANDIDATES) or template == "a space at the end of the prompt"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_follows_a_candidate_does_not_change_it(scheme: str) -> None:
    tokenizer = with_scheme(kinds.TEXT_BEFORE_THE_END, scheme)
    chat = ChatFormat.of(tokenizer, Rendering())
    prefix, ids = chat.encode_prefix("x"), chat.encode_candidate("It is 42.")
    target = chat.encode_target([{"role": "user", "content": "x"}], "It is 42.")
    assert target.ids == [*prefix, *ids, *chat.end_of_turn]
    assert tokenizer.decode(target.ids).endswith("\n### Reply:\nIt is 42.\n</s>")


@pytest.mark.parametrize(
    ("family", "scheme", "answering"),
    REAL if VOCABULARIES.is_dir() else [pytest.param(*REAL[0], marks=NO_VOCABULARIES)],
    ids=repr,
)
def test_real_vocabularies(family: str, scheme: str | None, answering: str) -> None:
    file = f"ggml-vocab-{family}.gguf"
    tokenizer = AutoTokenizer.from_pretrained(str(VOCABULARIES), gguf_file=file)
    if scheme is not None:
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        if "▁" not in json.dumps(content["normalizer"]) + json.dumps(content["pre_tokenizer"]):
            pytest.skip(f"{family} does not mark words by ▁")
        changed = content | {"normalizer": None} | SCHEMES[scheme]
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=Tokenizer.from_str(json.dumps(changed)),
            bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token,
        )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|mark|>"]})
    answering = answering.replace("</s>", tokenizer.eos_token)
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}Q: {{ m['content'] }}"
        + answering.replace("\n", "{{ '\\n' }}")
        + "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
    )
    compared = check(tokenizer, ChatFormat.of(tokenizer, Rendering()))
    assert compared >= len(CANDIDATES) - 1 or answering.endswith(" ")
