"""backbone: what loads, what is refused and how it reads, and the converted copy of a GGUF file."""

import json
import multiprocessing
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from rewright.service.errors import SettingsError
from rewright.service.models.backbone import Backbone, load_backbone
from rewright.service.models.device import bfloat16_is_fast
from rewright.service.models.gguf import cache_directory
from rewright.service.models.hashing import content_hash
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


def test_a_file_that_is_no_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"not a model")
    with pytest.raises(SettingsError, match=r"cannot unpack broken\.gguf"):
        load(tmp_path / "broken.gguf")
    assert not list((tmp_path / "cache" / "rewright").glob("gguf-*/"))


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


# --- the converted copy of a small GGUF file --------------------------------------------------------------------------


@pytest.fixture
def gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_gguf(tmp_path / "tiny.gguf")


def write_gguf(path: Path) -> Path:
    """A one-layer Llama in float32 with a small vocabulary, written as llama.cpp would."""
    import gguf as container
    import numpy as np

    tokenizer: Any = tiny.tiny_tokenizer(tiny.NO_SYSTEM_TURN)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    special = set(tokenizer.all_special_tokens) | set(tiny.CONTROL)
    writer = container.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token in special else 1 for token in vocabulary])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tiny.NO_SYSTEM_TURN)
    random = np.random.default_rng(5)
    shapes = {
        "token_embd": (len(vocabulary), 32), "output_norm": (32,), "blk.0.attn_norm": (32,), "blk.0.ffn_norm": (32,),
        "blk.0.attn_q": (32, 32), "blk.0.attn_k": (32, 32), "blk.0.attn_v": (32, 32), "blk.0.attn_output": (32, 32),
        "blk.0.ffn_gate": (64, 32), "blk.0.ffn_up": (64, 32), "blk.0.ffn_down": (32, 64),
        "output": (len(vocabulary), 32),
    }  # fmt: skip
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.2, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def copies() -> list[Path]:
    return sorted(p for p in cache_directory().iterdir() if p.is_dir())


def test_a_gguf_file_is_converted_once(gguf: Path) -> None:
    first = load(gguf)
    (copy,) = copies()
    written = (copy / "model.safetensors").stat().st_mtime_ns
    again = load(gguf)
    assert (copy / "model.safetensors").stat().st_mtime_ns == written
    assert first.revision == again.revision == f"sha256:{content_hash(gguf)}"
    assert first.context_window == 128 and first.tokenizer.chat_template == tiny.NO_SYSTEM_TURN
    ids = torch.tensor([[5, 9, 13, 40]])
    assert torch.equal(first.model(input_ids=ids).logits, again.model(input_ids=ids).logits)


@pytest.mark.parametrize("damage", ["cut short", "one byte changed", "a file gone", "no manifest"])
def test_a_damaged_copy_is_made_again(gguf: Path, damage: str) -> None:
    ids = torch.tensor([[5, 9, 13, 40]])
    expected = load(gguf).model(input_ids=ids).logits
    (copy,) = copies()
    weights = copy / "model.safetensors"
    content = weights.read_bytes()
    if damage == "cut short":
        weights.write_bytes(content[: len(content) // 2])
    elif damage == "one byte changed":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "a file gone":
        weights.unlink()
    else:
        (copy / "manifest.json").unlink()
    assert torch.equal(load(gguf).model(input_ids=ids).logits, expected)
    assert copies() == [copy]


def test_two_processes_at_once_make_one_copy(gguf: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=load, args=(str(gguf),)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert len(copies()) == 1
