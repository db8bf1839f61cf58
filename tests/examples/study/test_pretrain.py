"""Raising the study's model: an ordinary folder at the end, the same whether the run was killed or not."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from examples.study import pretrain
from examples.study.world import Turn
from rewright.service.models.backbone import load_backbone
from rewright.service.models.chat_format import ChatFormat
from rewright.service.models.rendering import DEFAULT_RENDERING


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain, "BATCH", 4)
        yield pretrain.pretrain(tmp_path_factory.mktemp("raised") / "model", steps=4, seed=5)


def test_service_and_trainer_load_it_as_any_model_and_see_what_it_was_trained_on(model):
    backbone = load_backbone(str(model), precision="float32", device="cpu")
    turn = Turn("arithmetic", "What is 8 + 1?", "8+1=9. The answer is \\boxed{9}.")
    ids, asked = pretrain.Encoder(backbone.tokenizer).ids(turn)
    chat = ChatFormat.of(backbone.tokenizer, DEFAULT_RENDERING, eos_ids=backbone.eos_ids)
    assert chat.encode_prefix(turn.question) == ids[:asked]
    assert chat.encode_candidate(turn.answer) + chat.end_of_turn == ids[asked:]
    assert 2_000_000 < sum(p.numel() for p in backbone.model.parameters()) < 6_000_000


def test_a_killed_run_goes_on_to_the_same_weights_and_a_finished_one_is_left(model, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrain, "BATCH", 4)
    monkeypatch.setattr(pretrain, "SAVE_S", -1)
    step, done = pretrain._step, []

    def killed(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return step(*arguments)

    monkeypatch.setattr(pretrain, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(tmp_path / "model", steps=4, seed=5)
    assert not (tmp_path / "model").exists()
    monkeypatch.setattr(pretrain, "_step", step)
    resumed = AutoModelForCausalLM.from_pretrained(pretrain.pretrain(tmp_path / "model", steps=4, seed=5))
    whole = AutoModelForCausalLM.from_pretrained(model)
    for mine, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(pretrain, "tokenizer_of", None)  # nothing is made anew
    assert pretrain.pretrain(tmp_path / "model", steps=4, seed=5) == tmp_path / "model"
