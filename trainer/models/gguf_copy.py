"""A GGUF file as a folder that transformers trains from, kept in the user's cache directory.

Promises: keyed by the file's content and the transformers version; whole or not at all; two processes do the work once;
a damaged copy is made again. Name and manifest are those of the copies that the service keeps, so that on one machine
the embedded model is unpacked once for both.

Not covered: architectures that transformers cannot unpack. Old copies are never deleted.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"


def content_hash(file: Path) -> str:
    """SHA-256, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unpacked(gguf: Path, *, content: str) -> Path:
    """The folder of the unpacked copy. content: the file's `content_hash`.

    Raises `OSError` where the cache cannot be written, and whatever transformers raises for a file it cannot unpack.
    """
    import transformers

    cache = user_cache_path("rewright")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"gguf-{content}-transformers-{transformers.__version__}"
    if _is_whole(folder):
        return folder
    with FileLock(folder.with_name(folder.name + ".lock")):
        if _is_whole(folder):
            return folder
        if folder.exists():
            log.warning("the unpacked copy %s is damaged; making it again", folder)
            shutil.rmtree(folder)
        with tempfile.TemporaryDirectory(dir=cache, prefix="unfinished-") as unfinished:
            _unpack(gguf, Path(unfinished) / "model")
            os.rename(Path(unfinished) / "model", folder)
    return folder


def _unpack(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    log.info("unpacking %s once", gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # The weights are dense now, but a model that remembers its quantizer can neither be saved nor trained.
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
