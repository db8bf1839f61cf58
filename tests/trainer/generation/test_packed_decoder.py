"""Packed decoding: texts and numbers are the model's own, in every family, however rows come and go."""

import logging
from collections import Counter
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from rewright.service.models.forward.packed import CannotPack
from rewright.trainer.generation import packed_way
from rewright.trainer.generation.packed_decoder import PackedDecoder, Written
from rewright.trainer.generation.packed_way import PackedWay
from tests.service.scorers.test_nll import FAMILIES
from tests.service.scorers.tiny_models import tiny_model

PROMPTS = [[5 + 7 * i % 900 for i in range(23)], [9 + 11 * i % 900 for i in range(4)], [8]]
STOP = [3]


def loaded(family: str, **changes: Any) -> Any:
    torch.manual_seed(4)
    model = tiny_model(family, **FAMILIES[family], **changes).eval()
    model.set_attn_implementation("eager")  # torch's fused attention leaves soft caps out
    return model


def greedy(model: Any, prompt: list[int], limit: int, stop: list[int]) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + limit:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
            if ids[-1] in stop:
                break
    return ids[len(prompt) :]


def logps(model: Any, prompt: list[int], ids: list[int], temperature: float) -> torch.Tensor:
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]


@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_writes_what_it_writes_by_itself(family: str, rows: int) -> None:
    model = loaded(family)
    asked = [PROMPTS[0]] * 3 + [PROMPTS[1]] * 2 + [PROMPTS[2]] + [PROMPTS[0]]
    limits = [9, 1, 5, 12, 3, 7, 0]
    try:
        decoder = PackedDecoder(model, rows=rows)
        torch.manual_seed(1)
        written = decoder.write(asked, limits, STOP, temperature=0.7)
    except CannotPack:
        pytest.skip("a family that is written with in transformers' way")
    for prompt, limit, each in zip(asked, limits, written, strict=True):
        assert len(each.ids) == limit or (each.ids[-1] in STOP and len(each.ids) < limit)
        if each.ids:
            right = logps(model, prompt, each.ids, 0.7)
            torch.testing.assert_close(torch.tensor(each.logps), right, atol=1e-4, rtol=0)
    likeliest = decoder.write(asked, limits, STOP, temperature=0.0)
    assert [each.ids for each in likeliest] == [
        greedy(model, prompt, limit, STOP) for prompt, limit in zip(asked, limits, strict=True)
    ]


def test_a_row_ends_at_its_stop_id_and_keeps_it() -> None:
    model = loaded("llama")
    free = greedy(model, PROMPTS[0], 12, [])
    stop = [free[4]]
    (written,) = PackedDecoder(model).write([PROMPTS[0]], [12], stop, temperature=0.0)
    assert written.ids == free[: free.index(stop[0]) + 1]


def test_ids_come_as_often_as_they_are_likely() -> None:
    model = loaded("llama")
    decoder = PackedDecoder(model)
    with torch.no_grad():
        p = (model(torch.tensor([PROMPTS[1]])).logits[0, -1] / 0.5).softmax(-1)
    torch.manual_seed(11)
    draws = 4000
    counts = Counter(each.ids[0] for each in decoder.write([PROMPTS[1]] * draws, [1] * draws, [], temperature=0.5))
    likely = [int(n) for n in p.argsort(descending=True)[:20]]
    for token in likely:
        expected = draws * float(p[token])
        assert abs(counts[token] - expected) < 5 * max(1.0, expected) ** 0.5
    nucleus = {
        int(n) for n in p.argsort(descending=True)[: int((p.sort(descending=True)[0].cumsum(0) < 0.9).sum()) + 1]
    }
    found = {e.ids[0] for e in decoder.write([PROMPTS[1]] * 500, [1] * 500, [], temperature=0.5, top_p=0.9)}
    assert found <= nucleus and len(found) > 1


def test_an_adapter_is_followed_as_it_is_trained_and_its_weights_stay() -> None:
    policy: Any = get_peft_model(loaded("qwen2"), LoraConfig(r=4, target_modules="all-linear"))
    decoder = PackedDecoder(policy.get_base_model())
    before = {name: weight.clone() for name, weight in policy.named_parameters() if "lora_B" not in name}
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        for name, weight in policy.named_parameters():
            if "lora_B" in name:
                weight.data.normal_(0, 0.3)
        (written,) = decoder.write([PROMPTS[0]], [16], [], temperature=0.0)
        assert written.ids == greedy(policy, PROMPTS[0], 16, [])
        texts.append(written.ids)
    assert texts[0] != texts[1]
    for name, weight in policy.named_parameters():
        assert "lora_B" in name or torch.equal(weight, before[name])


def test_memory_that_does_not_do_for_all_rows_does_for_fewer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from rewright.trainer.generation import row_memory

    most = 2
    whole = row_memory.RowMemory.__init__

    def of_a_small_device(self: Any, slots: int, device: torch.device) -> None:
        if slots > most:
            raise torch.OutOfMemoryError("as a device says it")
        whole(self, slots, device)

    model = loaded("llama")

    def ids() -> list[list[int]]:
        return [each.ids for each in PackedDecoder(model).write([PROMPTS[0]] * 5, [6] * 5, [], temperature=0.0)]

    right = ids()
    monkeypatch.setattr(row_memory.RowMemory, "__init__", of_a_small_device)
    assert ids() == right
    assert "2 are written at a time" in caplog.text
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        PackedDecoder(model).write([PROMPTS[0]], [6], [], temperature=0.0)


def test_numbers_that_are_not_the_models_own_are_never_handed_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def wrong(self: Any, prompts: Any, limits: Any, stop: Any, **_: Any) -> list[Written]:
        return [Written([7, 8, 9], [-0.1, -0.1, -0.1]) for _ in prompts]

    monkeypatch.setattr(packed_way.PackedDecoder, "write", wrong)
    caplog.set_level(logging.INFO)
    way = PackedWay(loaded("llama"))
    assert way.write([PROMPTS[0]], [3], STOP, temperature=1.0) is None
    assert way.write([PROMPTS[0]], [3], STOP, temperature=1.0) is None
    assert caplog.text.count("slower way: log-probabilities differ by") == 1


def test_right_numbers_are_handed_out_and_parts_go_on_training(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    model = loaded("llama").train()
    model.lm_head.eval()
    way = PackedWay(model)
    for _ in range(2):
        written = way.write([PROMPTS[0]], [5], [], temperature=1.0)
        assert written is not None and len(written[0].ids) == 5
    assert caplog.text.count("each prompt is read once") == 1
    assert model.training and model.model.training and not model.lm_head.training
