"""What the scorers of one process share: loaded models, and the turn on a CPU, where two at once only slow both."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rewright.service.models.backbone import Backbone


class SharedModels:
    """Loads each model once, however many scorers ask for it. Light until something is loaded."""

    def __init__(self) -> None:
        self._cpu_turn = threading.Lock()
        self._backbones: dict[tuple[str, str, str], Backbone] = {}
        self._loading = threading.Lock()

    def turn(self, device: str) -> AbstractContextManager[object] | None:
        """What a batch on that device holds while it runs; None where batches may run side by side."""
        import torch

        _hide_progress_bars()
        on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
        return self._cpu_turn if on_cpu else None

    def loader(self, setting: str, model: str, *, precision: str, device: str) -> "Callable[[], Backbone]":
        """A function that loads the model, or gives the one that was loaded. setting: whom an error names.

        The function raises `SettingsError` where the model cannot be had.
        """
        return partial(self._backbone, setting, model, precision, device)

    def _backbone(self, setting: str, model: str, precision: str, device: str) -> "Backbone":
        from rewright.service.models.backbone import load_backbone

        with self._loading:
            key = (model, precision, device)
            if key not in self._backbones:
                self._backbones[key] = load_backbone(model, precision=precision, device=device, setting=setting)
            return self._backbones[key]


def _hide_progress_bars() -> None:
    """Bars of loading and unpacking would stand between the JSON lines of the log."""
    from transformers import modeling_gguf_pytorch_utils as gguf_loading
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    # It asks tqdm itself, past that switch; tqdm's own, in the environment, is read only once, as it is imported.
    gguf_loading.tqdm = transformers_logging.tqdm  # type: ignore[attr-defined, assignment]
