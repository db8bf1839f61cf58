"""A GGUF file as a folder of safetensors, kept in the user's cache directory, since unpacking takes up to minutes.

Promises: the copy is keyed by the file's content and the transformers version that unpacked it; it appears whole or not
at all; two processes that want it at once do the work once; a copy that is not what was written is made again; what a
killed process left half done is removed by the next one that unpacks anything. Weights are kept in float32, exactly as
unpacked.

Not covered: GGUF architectures that transformers cannot unpack, and sharded GGUF files. Old copies are never deleted.
"""

import json
import logging
import os
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from rewright.service.models.hashing import content_hash

_log = logging.getLogger(__name__)

_MANIFEST = "manifest.json"
_UNFINISHED = "unfinished-"


def unpacked(gguf: Path, *, content: str) -> Path:
    """The folder with the unpacked copy of `gguf`, whose content hash is `content`.

    Raises `OSError` where the cache directory cannot be written, and whatever transformers raises for a file that it
    cannot unpack.
    """
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"gguf-{content}-transformers-{version('transformers')}"
    if _is_whole(folder):
        return folder
    with FileLock(_lock_of(folder)):
        if _is_whole(folder):
            return folder
        if folder.exists():
            _log.warning("the unpacked copy %s is damaged; making it again", folder)
            shutil.rmtree(folder)
        unfinished = cache / (_UNFINISHED + folder.name)
        shutil.rmtree(unfinished, ignore_errors=True)
        _remove_leftovers(cache)
        _log.info("unpacking %s once; the copy is kept in %s", gguf.name, cache)
        try:
            _unpack(gguf, unfinished)
            os.rename(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def cache_directory() -> Path:
    """The user's cache directory of this platform (`$XDG_CACHE_HOME/rewright`, else `~/.cache/rewright`, on Linux)."""
    return platformdirs.user_cache_path("rewright")


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _remove_leftovers(cache: Path) -> None:
    """Remove unfinished folders of dead processes: whoever fills one holds the lock of the folder it is to become."""
    for unfinished in cache.glob(_UNFINISHED + "*"):
        lock = FileLock(_lock_of(cache / unfinished.name.removeprefix(_UNFINISHED)))
        try:
            with lock.acquire(timeout=0):
                _log.info("removing %s, which a process left unfinished", unfinished)
                shutil.rmtree(unfinished, ignore_errors=True)
        except Timeout:
            continue  # somebody is filling it


def _unpack(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without `dequantize` the weights would stay in GGUF blocks wherever a kernel for them is installed.
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    # The weights are dense by now, but a model that remembers its quantizer can neither be saved nor trained.
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
