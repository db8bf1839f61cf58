"""backbone: what loads, what is refused and how it reads."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from rewright.service.errors import SettingsError
from rewright.service.models.backbone import Backbone, load_backbone
from rewright.service.models.device import bfloat16_is_fast
from rewright.service.models.locating import EMBEDDED_NAME
from tests.service.scorers import tiny_models as tiny


def load(model: Any, *, precision: str = "float32", device: str = "cpu") -> Backbone:
    return load_backbone(str(model), precision=precision, device=device)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.tiny_model("llama").save_pretrained(tmp_path / "model")
    tiny.tiny_tokenizer(tiny.NO_SYSTEM_TURN).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_loads_ready_to_score(folder: Path) -> None:
    backbone = load(folder)
    assert not backbone.model.training and not any(p.requires_grad for p in backbone.model.parameters())
    assert backbone.name == str(folder) and backbone.context_window == 512 and not backbone.embedded
    assert backbone.dtype == next(backbone.model.parameters()).dtype == torch.float32
    assert load(folder, precision="bfloat16").model.dtype == torch.bfloat16


def test_the_revision_follows_the_content_and_not_the_place(folder: Path) -> None:
    before = load(folder).revision
    copied = shutil.copytree(folder, folder.parent / "elsewhere")
    assert load(copied).revision == before
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-4}))
    assert load(copied).revision != before


def test_automatic_precision_is_what_the_device_does_fast(folder: Path) -> None:
    fast = bfloat16_is_fast(torch.device("cpu"))
    assert load(folder, precision="auto", device="cpu").dtype == (torch.bfloat16 if fast else torch.float32)
    assert load(folder, device="auto").device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("model", ["/nowhere/at/all", "./nowhere", "nowhere/model.gguf", "no-such-owner/no-such-model"])
def test_a_model_that_is_not_there(model: str) -> None:
    with pytest.raises(SettingsError, match=r"scorers\.nll\.model.*nowhere|no-such"):
        load(model)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"config\.json"):
        load(tmp_path)


def test_no_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(SettingsError, match="chat template"):
        load(folder)


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 5}))
    with pytest.raises(SettingsError, match="lacks weights"):
        load(folder)


def test_an_encoder_is_no_backbone(folder: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1200, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, initializer_range=0.5
    )
    BertLMHeadModel(config).save_pretrained(folder)
    with pytest.raises(SettingsError, match="looks ahead"):
        load(folder)


@pytest.mark.parametrize("device", ["abacus", "cuda:99", "meta"])
def test_an_impossible_device(folder: Path, device: str) -> None:
    with pytest.raises(SettingsError, match=r"scorers\.nll\.device"):
        load(folder, device=device)


def test_the_error_names_the_block_that_asked() -> None:
    with pytest.raises(SettingsError, match=r"scorers\.judge\.model"):
        load_backbone("/nowhere", precision="float32", device="cpu", setting="scorers.judge")


def test_the_embedded_model_and_its_tokenizer(embedded_backbone: Backbone) -> None:
    tokenizer: Any = embedded_backbone.tokenizer
    assert embedded_backbone.embedded and embedded_backbone.name == EMBEDDED_NAME
    assert embedded_backbone.context_window == 8192
    assert embedded_backbone.revision.startswith("sha256:")
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert len(tokenizer("<|im_start|>x<|im_end|>")["input_ids"]) == 3
    turn = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert turn.endswith("<|im_start|>user\nHi<|im_end|>\n") and turn.startswith("<|im_start|>system\n")
    assert sum(p.numel() for p in embedded_backbone.model.parameters()) == 134_515_008
