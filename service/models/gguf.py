"""A GGUF file as a folder of safetensors, kept in the user's cache directory, since unpacking takes up to minutes.

Promises: the copy is keyed by the file's content and the transformers version that unpacked it; it appears whole or not
at all; two processes that want it at once do the work once; a copy that is not what was written is made again. Weights
are kept in float32, exactly as unpacked.

Not covered: GGUF architectures that transformers cannot unpack, and sharded GGUF files. Old copies are never deleted.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import platformdirs
import torch
import transformers
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

_log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"


def converted(gguf: Path, *, content: str) -> Path:
    """The folder with the converted copy of `gguf`, whose content hash is `content`.

    Raises `OSError` when the cache directory cannot be written, and whatever transformers raises for a file that it
    cannot unpack.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"gguf-{content}-transformers-{transformers.__version__}"
    if _is_whole(folder):
        return folder
    with FileLock(folder.with_name(folder.name + ".lock")):
        if _is_whole(folder):
            return folder
        if folder.exists():
            _log.warning("the converted copy %s is damaged; making it again", folder)
            shutil.rmtree(folder)
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as unfinished:
            _convert(gguf, Path(unfinished) / "model")
            os.rename(Path(unfinished) / "model", folder)
    return folder


def cache_directory() -> Path:
    """The user's cache directory of this platform (`$XDG_CACHE_HOME/rewright`, else `~/.cache/rewright`, on Linux)."""
    return platformdirs.user_cache_path("rewright")


def content_hash(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _convert(gguf: Path, folder: Path) -> None:
    _log.info("converting %s once", gguf.name)
    # Without `dequantize` the weights would stay in GGUF blocks wherever a kernel for them is installed.
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # The weights are dense by now, but a model that remembers its quantizer refuses to be saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    manifest = {file.name: content_hash(file) for file in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return bool(manifest) and all(content_hash(folder / name) == known for name, known in manifest.items())
    except (OSError, ValueError, AttributeError):
        return False
