"""Options by likelihood: the sums against the model's own forward pass, and what is made of them."""

import pytest
import torch

from rewright.service.models.rendering import Rendering
from rewright.trainer.evaluate.benchmarks import Question
from rewright.trainer.evaluate.likelihood import (
    chosen,
    letter_prompt,
    likelihood_result,
    option_likelihoods,
    text_prompt,
)
from rewright.trainer.models.policy import chat_format, load_tokenizer, locate
from rewright.trainer.recipes.blocks import Backbone
from tests.trainer.tiny_run import write_backbone

QUESTIONS = [
    Question("1", "MMLU", None, "What is the sum of 12 and 30?", ("42", "180 km", "x = 3"), "A"),
    Question("2", "MMLU", None, "How far does the train go?", ("yes", "180 km, as it has three hours", "no", "7"), "B"),
    Question("blank", "MMLU", None, "Which?", ("yes", ""), "A"),
    Question("long", "MMLU", None, "which " * 3_000, ("yes", "no"), "A"),
]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = write_backbone(tmp_path_factory.mktemp("model"))
    return Backbone(model=str(folder), device="cpu", precision="float32")


def rows(backbone, adapter=None):
    some = option_likelihoods(QUESTIONS, backbone=backbone, adapter=adapter, rendering=Rendering())
    return {row["id"]: row for each in some for row in each}


def expected(model, chat, prompt, text):
    prefix, ids = chat.encode_prefix(prompt), chat.encode_candidate(text)
    with torch.no_grad():
        logps = model(torch.tensor([[*prefix, *ids]])).logits[0, len(prefix) - 1 : -1].double().log_softmax(-1)
    return float(logps.gather(1, torch.tensor(ids)[:, None]).sum())


def check(found, model, chat):
    for question in QUESTIONS[:2]:
        letters = [expected(model, chat, letter_prompt(question), "ABCD"[n]) for n in range(len(question.options))]
        texts = [expected(model, chat, text_prompt(question), text) for text in question.options]
        assert found[question.id]["letters"] == pytest.approx(letters, abs=1e-3)
        assert found[question.id]["texts"] == pytest.approx(texts, abs=1e-3)


def test_sums_are_the_models_own(backbone):
    from transformers import AutoModelForCausalLM

    located = locate(backbone)
    chat = chat_format(located, load_tokenizer(located), Rendering())
    found = rows(backbone)
    check(found, AutoModelForCausalLM.from_pretrained(backbone.model), chat)
    assert found["blank"]["texts"] is None and found["blank"]["letters"] is not None
    assert found["long"]["letters"] is None and found["long"]["texts"] is None


def test_an_adapter_counts(backbone, tmp_path):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(backbone.model), lora)
    wrapped.save_pretrained(tmp_path / "adapter")
    located = locate(backbone)
    chat = chat_format(located, load_tokenizer(located), Rendering())
    check(rows(backbone, tmp_path / "adapter"), wrapped.eval(), chat)


def test_choices_are_the_largest_sum_and_the_largest_sum_a_character():
    question = Question("1", "MMLU", None, "?", ("ab", "abcdefgh", "abcd"), "B")
    row = {"id": "1", "letters": [-2.0, -1.0, -3.0], "texts": [-4.0, -5.0, -6.0]}
    assert chosen(row, question) == {"letters": True, "texts": False, "texts_norm": True}
    tied = {"id": "1", "letters": [-1.0, -1.0, -3.0], "texts": None}
    assert chosen(tied, question) == {"letters": False, "texts": None, "texts_norm": None}
    result = likelihood_result([(row, question), (tied, question)])
    assert (result["letters"]["correct"], result["letters"]["questions"], result["letters"]["accuracy"]) == (1, 2, 0.5)
    assert (result["texts_norm"]["questions"], result["texts_norm"]["accuracy"]) == (1, 1.0)
