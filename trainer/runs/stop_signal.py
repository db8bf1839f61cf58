"""SIGTERM, which schedulers send before they take a machine away: the step under way is finished, and kept.

Promises: several ranks stop at the same step, whichever was told first; a second SIGTERM ends the process at once, as
without this. Not covered: a step that takes longer than the scheduler's grace; the run then goes on from the checkpoint
before it.
"""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rewright.trainer.errors import Stopped

log = logging.getLogger(__name__)


class StopSignal(TrainerCallback):
    def __init__(self) -> None:
        self._came = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Outside the main thread no signal can be taken."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> TrainerControl:
        if state.global_step < state.max_steps and self._came_to_any(args.device):
            self._came = True
            control.should_save = control.should_training_stop = True
        return control

    def refuse_unfinished(self, state: TrainerState) -> None:
        """Raises `Stopped` where SIGTERM ended training before its last step."""
        if self._came and state.global_step < state.max_steps:
            raise Stopped(
                f"stopped at step {state.global_step} of {state.max_steps} by SIGTERM, with a checkpoint. "
                "Run the same command again to go on from there"
            )

    def _note(self, *_: object) -> None:
        self._came = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        log.warning("SIGTERM: this step is finished first; a second SIGTERM ends the run at once")

    def _came_to_any(self, device: torch.device) -> bool:
        if not torch.distributed.is_initialized():
            return self._came
        came = torch.tensor([int(self._came)], device=device)
        torch.distributed.all_reduce(came, op=torch.distributed.ReduceOp.MAX)
        return bool(came.item())
