"""What was trained, written in one piece, whatever the processes held of it.

transformers' `save_model` writes nothing where FSDP keeps checkpoints in shards, and DeepSpeed's own states where it
was not told to gather; either ends a run of days without a model, and says so nowhere.
"""

from pathlib import Path
from typing import Any

from rewright.trainer.errors import RunFolderError

_WEIGHTS = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")


def save_final_weights(trainer: Any, folder: Path) -> None:
    """All processes call it; the first one writes. Raises `RunFolderError` there where no weights came of it."""
    if trainer.is_fsdp_enabled:
        # What a checkpoint may be cut into, a model to load may not.
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero() and not any((folder / name).is_file() for name in _WEIGHTS):
        raise RunFolderError(
            f"{folder}: the weights of the processes could not be put together. With DeepSpeed, set "
            "zero3_save_16bit_model: true in accelerate's configuration file, and run the same command again: it goes "
            "on from the last checkpoint"
        )
