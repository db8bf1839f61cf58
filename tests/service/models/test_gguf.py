"""gguf: the unpacked copy in the user's cache, made once, whole or not at all, whoever is killed in between."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from rewright.service.errors import SettingsError
from rewright.service.models.backbone import Backbone, load_backbone
from rewright.service.models.gguf import cache_directory
from rewright.service.models.hashing import content_hash
from rewright.service.models.locating import locate
from rewright.service.models.sharing import SharedModels
from tests.service.scorers import tiny_models as tiny
from tests.waiting import PATIENCE_S
from tests.warm_process import WarmProcess

ROOT = Path(__file__).resolve().parents[3]

STOPS_HALFWAY = """
import sys
from transformers import PreTrainedModel

whole = PreTrainedModel.save_pretrained

def and_wait(model, folder, *more, **options):
    whole(model, folder, *more, **options)
    print(folder, flush=True)
    sys.stdin.readline()

PreTrainedModel.save_pretrained = and_wait

from rewright.service.models.locating import locate

print(locate(sys.argv[1], setting="test").source, flush=True)
"""
"""Writes the weights, says where, and goes on with the tokenizer when a line comes."""


def load(model: Any) -> Backbone:
    return load_backbone(str(model), precision="float32", device="cpu")


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


def test_a_gguf_file_is_unpacked_once(gguf: Path) -> None:
    first = load(gguf)
    (copy,) = copies()
    written = (copy / "model.safetensors").stat().st_mtime_ns
    again = load(gguf)
    assert (copy / "model.safetensors").stat().st_mtime_ns == written
    assert first.revision == again.revision == f"sha256:{content_hash(gguf)}"
    assert first.context_window == 128 and first.tokenizer.chat_template == tiny.NO_SYSTEM_TURN
    ids = torch.tensor([[5, 9, 13, 40]])
    assert torch.equal(first.model(input_ids=ids).logits, again.model(input_ids=ids).logits)


def test_no_bar_is_written_between_the_lines_of_a_services_log(
    gguf: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from tqdm.auto import tqdm
    from transformers import modeling_gguf_pytorch_utils as gguf_loading
    from transformers.utils import logging as transformers_logging

    # As they are before a service starts; put back afterwards.
    monkeypatch.setattr(gguf_loading, "tqdm", tqdm)
    monkeypatch.setattr(transformers_logging, "_tqdm_active", True)
    models = SharedModels()
    models.turn("cpu")
    models.loader("test", str(gguf), precision="float32", device="cpu")()
    assert len(copies()) == 1
    assert capfd.readouterr().err == ""


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
    processes = [WarmProcess("tests.service.models.load_once", gguf) for _ in range(2)]
    assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    assert len(copies()) == 1


def test_a_file_that_is_no_gguf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"not a model")
    with pytest.raises(SettingsError, match=r"cannot unpack broken\.gguf"):
        load(tmp_path / "broken.gguf")
    assert not list((tmp_path / "cache" / "rewright").glob("gguf-*/"))


@contextmanager
def stopped_halfway(gguf: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has written the weights of its copy and nothing else yet."""
    command = [sys.executable, "-c", STOPS_HALFWAY, str(gguf)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipes) as process:
        try:
            assert process.stdout is not None
            written = Path(process.stdout.readline().strip())
            assert (written / "model.safetensors").is_file() and written.parent == cache_directory()
            yield process
        finally:
            process.kill()


def unfinished() -> list[Path]:
    return sorted(cache_directory().glob("unfinished-*"))


def test_what_a_killed_process_left_is_removed_when_anything_is_unpacked_next(gguf: Path) -> None:
    with stopped_halfway(gguf):
        pass
    assert len(unfinished()) == 1 and not copies_of(gguf)
    other = gguf.with_name("other.gguf")
    other.write_bytes(gguf.read_bytes() + b"\0")
    locate(str(other), setting="test")
    assert not unfinished() and not copies_of(gguf)
    locate(str(gguf), setting="test")
    assert len(copies_of(gguf)) == 1


def test_what_a_living_process_is_filling_is_left_alone(gguf: Path) -> None:
    other = gguf.with_name("other.gguf")
    other.write_bytes(gguf.read_bytes() + b"\0")
    with stopped_halfway(gguf) as process:
        locate(str(other), setting="test")
        assert len(unfinished()) == 1
        said, _ = process.communicate("go on\n")
        assert Path(said.strip()) == copies_of(gguf)[0] and process.returncode == 0
    assert not unfinished()


def copies_of(gguf: Path) -> list[Path]:
    return [copy for copy in copies() if copy.name.startswith(f"gguf-{content_hash(gguf)}")]


def test_the_cache_is_named_where_it_cannot_be_written_and_where_it_is_filled(
    gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        locate(str(gguf), setting="test")
    assert str(tmp_path / "cache" / "rewright") in caplog.text
    (tmp_path / "a file").write_text("mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file"))
    with pytest.raises(SettingsError, match=r"test\.model: cannot unpack tiny\.gguf into .*a file.*XDG_CACHE_HOME"):
        locate(str(gguf), setting="test")
