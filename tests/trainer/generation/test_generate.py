"""Batched decoding with transformers, on a random model of a few thousand weights and on the embedded one."""

import itertools

import pytest

from rewright.trainer.errors import BackboneError, RecipeError
from rewright.trainer.generation.base import Asked, Decoding
from rewright.trainer.generation.engine import open_generator
from rewright.trainer.recipes.blocks import Backbone
from tests.trainer.tiny_run import write_backbone


def ask(text):
    return [{"role": "user", "content": text}]


PROMPTS = [ask(f"What is {n} plus {n}?" + " And why is that so?" * (n % 3)) for n in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def backbone(folder):
    return Backbone(model=str(folder), device="cpu", precision="float32")


def texts(backbone, prompts=PROMPTS, **options):
    options = {"decoding": Decoding(max_tokens=12), "batch_size": 4, **options}
    with open_generator(backbone, **options) as generator:
        return [(g.place, g.text, g.n_tokens, g.finish_reason) for g in generator.stream(prompts)]


def test_every_prompt_is_answered_once_in_order_and_alike_every_time(backbone):
    found = texts(backbone)
    assert [index for index, *_ in found] == list(range(10))
    assert all(1 <= n <= 12 and reason in ("stop", "length") for *_, n, reason in found)
    assert texts(backbone) == found


def test_a_batch_writes_what_greedy_search_writes_for_each_prompt_alone(backbone, folder):
    import torch
    from transformers import AutoModelForCausalLM

    from rewright.service.models.rendering import Rendering
    from rewright.trainer.models.policy import chat_format, load_tokenizer, locate

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = load_tokenizer(locate(backbone))
    chat = chat_format(locate(backbone), tokenizer, Rendering())
    ends = {tokenizer.eos_token_id, chat.end_mark, model.config.eos_token_id}
    assert chat.stop_ids == ends
    for messages, (_, text, n_tokens, reason) in zip(PROMPTS, texts(backbone), strict=True):
        ids = chat.encode_prompt(messages)
        written = []
        with torch.inference_mode():
            while len(written) < 12:
                token = int(model(torch.tensor([ids + written])).logits[0, -1].argmax())
                if token in ends:
                    break
                written.append(token)
        assert (n_tokens, reason) == (len(written), "length" if len(written) == 12 else "stop")
        assert text == tokenizer.decode(written, skip_special_tokens=True).strip()


def test_prompts_are_read_only_as_they_are_needed(backbone):
    read = []
    endless = (read.append(n) or ask(f"What is {n}?") for n in itertools.count())
    with open_generator(backbone, decoding=Decoding(max_tokens=2), batch_size=3) as generator:
        answers = generator.stream(endless)
        assert [next(answers).place for _ in range(4)] == [0, 1, 2, 3]
        assert len(read) == 6
        assert generator.busy_s > 0


def test_a_prompt_past_the_window_gets_an_answer_that_says_so_and_a_long_one_what_room_is_left(backbone):
    long = ask("What is " + "1 + " * 400 + "1?")
    nearly = ask("Why? " * 75)
    (_, text, n, reason), short, (*_, room, cut) = texts(
        backbone, [long, PROMPTS[0], nearly], decoding=Decoding(max_tokens=400)
    )
    assert (text, n, reason) == ("", 0, "prompt_too_long")
    assert short[2] > 0
    assert cut == "stop" or 0 < room < 400


def test_sampling_depends_on_the_prompts_and_the_seed_alone(backbone):
    warm = Decoding(max_tokens=12, temperature=1.0)
    found = texts(backbone, decoding=warm)
    assert texts(backbone, PROMPTS[4:8], decoding=warm) == [(i - 4, *rest) for i, *rest in found[4:8]]
    assert texts(backbone, decoding=Decoding(max_tokens=12, temperature=1.0, seed=18)) != found
    assert found != texts(backbone)


def test_an_adapter_changes_the_texts_and_must_be_one(backbone, folder, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    config = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config).save_pretrained(tmp_path / "adapter")
    with open_generator(backbone, adapter=tmp_path / "adapter", decoding=Decoding(max_tokens=12)) as generator:
        adapted = [tuple(g) for g in generator.stream(PROMPTS)]
        assert generator.describe()["backbone"]["adapter"].startswith("sha256:")
    assert adapted != texts(backbone, batch_size=32)
    with pytest.raises(BackboneError, match="holds no adapter"):
        open_generator(backbone, adapter=tmp_path)


def test_a_source_may_ask_for_what_depends_on_the_answers(backbone):
    class Twice:
        def __init__(self):
            self.left = [[Asked(("first", n), PROMPTS[n]) for n in (0, 1)]]

        def next_batch(self, *, wait):
            return self.left.pop(0) if self.left else None

    source = Twice()
    found = {}
    with open_generator(backbone, decoding=Decoding(max_tokens=4), batch_size=2) as generator:
        for answer in generator.run(source):
            found[answer.key] = answer.text
            if answer.key == ("first", 1):
                source.left.append([Asked("second", ask(found["first", 0] + " again"))])
    assert set(found) == {("first", 0), ("first", 1), "second"}


def test_what_cannot_be_is_said_with_its_fix(backbone):
    with pytest.raises(RecipeError, match="batch_size"):
        open_generator(backbone, batch_size=0)
    with pytest.raises(BackboneError, match="no folder"):
        open_generator(Backbone(model="./nowhere"))


def test_the_embedded_model_ends_its_turn_by_itself():
    with open_generator(Backbone(device="cpu"), decoding=Decoding(max_tokens=40), batch_size=2) as generator:
        (answer,) = generator.stream([ask("What is the capital of France? Answer with one word.")])
    assert answer.finish_reason == "stop" and "Paris" in answer.text
