"""The vLLM engine over a stand-in package with vLLM's interface: what is asked of it, and how its answers are read.

vLLM itself needs a GPU or a build of its own; this holds the bookkeeping around it.
"""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from rewright.trainer.errors import BackboneError
from rewright.trainer.generation.base import Asked, Decoding
from rewright.trainer.generation.engine import open_generator
from rewright.trainer.recipes.blocks import Backbone
from tests.trainer.tiny_run import write_backbone


class StandIn:
    """Finishes the newest request first, one a step; answers with the last ids of its prompt."""

    made: "StandIn"

    def __init__(self, **options):
        self.options = options
        self.requests = {}
        self.most = 0
        self.seeds = []
        self.model_config = SimpleNamespace(max_model_len=60)
        self.llm_engine = self
        StandIn.made = self

    def add_request(self, request_id, prompt, params, lora_request=None):
        self.requests[request_id] = (prompt["prompt_token_ids"], params, lora_request)
        self.most = max(self.most, len(self.requests))
        self.seeds.append(params.seed)

    def step(self):
        name = max(self.requests, key=int)
        ids, params, _ = self.requests.pop(name)
        ended = int(name) % 2 == 0
        tokens = [*ids[-20:-17], *([params.stop_token_ids[0]] if ended else [])]
        written = SimpleNamespace(
            token_ids=tokens, finish_reason="stop" if ended else "length", stop_reason=tokens[-1] if ended else None
        )
        return [SimpleNamespace(request_id=name, finished=True, outputs=[written])]


@pytest.fixture
def vllm(monkeypatch):
    package = ModuleType("vllm")
    package.__version__ = "0"
    package.__spec__ = SimpleNamespace(name="vllm")
    package.LLM = StandIn
    package.SamplingParams = SimpleNamespace
    request = ModuleType("vllm.lora.request")
    request.LoRARequest = lambda *parts: parts
    platforms = ModuleType("vllm.platforms")
    platforms.current_platform = SimpleNamespace(is_cpu=lambda: False)
    stands = {
        "vllm": package,
        "vllm.lora": ModuleType("vllm.lora"),
        "vllm.lora.request": request,
        "vllm.platforms": platforms,
    }
    for name, module in stands.items():
        monkeypatch.setitem(sys.modules, name, module)
    return platforms


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_backbone(tmp_path_factory.mktemp("model"))


def ask(text):
    return [{"role": "user", "content": text}]


def test_every_prompt_is_answered_under_its_own_number_whatever_order_they_finish_in(vllm, folder):
    prompts = [ask(f"What is {n}?") for n in range(600)] + [ask("Why? " * 60)]
    decoding = Decoding(max_tokens=5)
    with open_generator(Backbone(model=str(folder)), engine="vllm", decoding=decoding, batch_size=100) as generator:
        found = {answer.place: answer for answer in generator.stream(prompts)}
        assert generator.describe()["engine"]["name"] == "vllm"
    assert sorted(found) == list(range(601))
    assert found[600] == (600, "", 0, "prompt_too_long")
    assert [found[n].finish_reason for n in (0, 1)] == ["stop", "length"]
    assert all(answer.n_tokens == 3 and "<|" not in answer.text for n, answer in found.items() if n < 600)
    assert StandIn.made.most <= 256 and StandIn.made.options["generation_config"] == "vllm"


def test_sampled_requests_have_seeds_of_their_own_but_on_a_cpu(vllm, folder):
    decoding = Decoding(max_tokens=5, temperature=1.0)
    for on_cpu in (False, True):
        vllm.current_platform.is_cpu = lambda on_cpu=on_cpu: on_cpu
        with open_generator(Backbone(model=str(folder)), engine="vllm", decoding=decoding) as generator:
            list(generator.stream([ask("What is 1?"), ask("What is 2?")]))
        first, second = StandIn.made.seeds
        assert (first is second is None) if on_cpu else first != second


def test_a_source_with_nothing_ready_does_not_hold_up_what_is_under_way(vllm, folder):
    class Source:
        def __init__(self):
            self.waits = []
            self.next = [[Asked("a", ask("What is 1?"))], [], [Asked("b", ask("What is 2?"))]]

        def next_batch(self, *, wait):
            self.waits.append(wait)
            return self.next.pop(0) if self.next else None

    source = Source()
    with open_generator(Backbone(model=str(folder)), engine="vllm", batch_size=2) as generator:
        assert [answer.key for answer in generator.run(source)] == ["a", "b"]
    # With something under way it only looks; with nothing it waits.
    assert source.waits[:3] == [True, False, True]


def test_an_adapter_goes_with_every_request_and_its_rank_is_made_room_for(vllm, folder, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": 48}))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    seen = []
    with open_generator(Backbone(model=str(folder)), adapter=tmp_path, engine="vllm") as generator:
        stand_in = StandIn.made
        entered = stand_in.add_request
        stand_in.add_request = lambda *a, lora_request: seen.append(lora_request) or entered(*a)
        list(generator.stream([ask("What is 1?")]))
    assert seen == [("rewriter", 1, str(tmp_path.resolve()))]
    assert stand_in.options["max_lora_rank"] == 64 and stand_in.options["enable_lora"]


def test_on_a_cpu_the_adapter_is_merged_into_float32_weights(vllm, folder, tmp_path):
    vllm.current_platform.is_cpu = lambda: True
    plain = AutoModelForCausalLM.from_pretrained(folder)
    tuned = get_peft_model(plain, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    tuned.save_pretrained(tmp_path)
    ids = torch.arange(3, 12)[None]
    expected = tuned(ids).logits
    backbone = Backbone(model=str(folder), precision="bfloat16")
    with open_generator(backbone, adapter=tmp_path, engine="vllm") as generator:
        options = StandIn.made.options
        merged = AutoModelForCausalLM.from_pretrained(options["model"])
        assert torch.allclose(merged(ids).logits, expected, atol=1e-4) and merged.dtype == torch.float32
        assert options["dtype"] == "float32" and "enable_lora" not in options and options["tokenizer"] == str(folder)
        assert generator.describe()["engine"]["precision"] == "float32"
    assert not Path(options["model"]).exists()


def test_an_engine_that_ends_says_what_to_do(vllm, folder, monkeypatch):
    def step(self):
        raise RuntimeError("EngineCore encountered an issue\nlong story")

    monkeypatch.setattr(StandIn, "step", step)
    with (
        open_generator(Backbone(model=str(folder)), engine="vllm") as generator,
        pytest.raises(BackboneError, match=r"vLLM ended while .*encountered an issue\. .*same command again"),
    ):
        list(generator.stream([ask("What is 1?")]))
