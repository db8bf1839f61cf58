"""Whether a checkpoint of transformers' trainer holds all that a run goes on from, however its weights were cut.

    one process, DDP          optimizer.pt, scheduler.pt, weights
    FSDP, full state          optimizer.bin, scheduler.pt, pytorch_model_fsdp.bin or weights
    FSDP, sharded state       optimizer_0/, pytorch_model_fsdp_0/ (torch's distributed checkpoints), scheduler.pt
    DeepSpeed                 latest, which names the folder of all processes' states; scheduler.pt where transformers
                              made the schedule

(transformers 5.19 `Trainer._save_checkpoint`, accelerate 1.15 `save_fsdp_model`, `save_fsdp_optimizer`, DeepSpeed
`save_checkpoint`.) The trainer's state is what the first process writes last; the others may then still be at work, so
that their parts count as written when what closes these is there: a distributed checkpoint's `.metadata`, DeepSpeed's
`latest`.

A way of cutting reads its own checkpoints alone: `how_cut` says which way made one, `cuts_as` which a trainer takes.
"""

import json
from pathlib import Path
from typing import Any

WHOLE, FULL, SHARDED, DEEPSPEED = "whole weights (DDP or one process)", "FSDP, full state", "FSDP, sharded", "DeepSpeed"
_WEIGHTS = (
    "adapter_model.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model_fsdp.bin",
    "pytorch_model_fsdp_0/.metadata",
)
_OPTIMIZER = {"optimizer.pt": WHOLE, "optimizer.bin": FULL, "optimizer_0/.metadata": SHARDED}


def what_is_missing(checkpoint: Path) -> str | None:
    """The first part that is absent or cut short; None for a whole one."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "trainer_state.json"
    if "global_step" not in state:
        return "trainer_state.json"
    if (latest := checkpoint / "latest").is_file():
        states = checkpoint / latest.read_text(encoding="utf-8").strip()
        return None if any(states.glob("*optim_states.pt")) else f"{states.name}/*optim_states.pt"
    if not (checkpoint / "scheduler.pt").is_file():
        return "scheduler.pt"
    for part, names in (("the optimizer", tuple(_OPTIMIZER)), ("the weights", _WEIGHTS)):
        if not any((checkpoint / name).is_file() for name in names):
            return part
    return None


def how_cut(checkpoint: Path) -> str:
    """Which way wrote a checkpoint that is whole."""
    if (checkpoint / "latest").is_file():
        return DEEPSPEED
    return next(way for name, way in _OPTIMIZER.items() if (checkpoint / name).is_file())


def cuts_as(trainer: Any) -> str:
    """The way of transformers' trainer, as accelerate set it up."""
    if trainer.is_deepspeed_enabled:
        return DEEPSPEED
    if not trainer.is_fsdp_enabled:
        return WHOLE
    kept = str(trainer.accelerator.state.fsdp_plugin.state_dict_type)
    return FULL if "FULL_STATE_DICT" in kept else SHARDED
