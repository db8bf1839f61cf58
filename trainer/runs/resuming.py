"""From a checkpoint, or from the start, to the end of a training run.

A run killed between its last checkpoint and its final weights has nothing left to train; transformers' trainer would
take one step more than asked for. Private parts of the trainer are used for that, there being no public ones.
"""

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerState

from rewright.trainer.runs.finite_steps import FiniteSteps
from rewright.trainer.runs.stop_signal import StopSignal

log = logging.getLogger(__name__)


def train_to_the_end(trainer: Any, checkpoint: Path | None) -> None:
    """Raises `Stopped` after SIGTERM, with a checkpoint of the last step, and `Diverged`."""
    if checkpoint is not None:
        log.info("going on from %s", checkpoint.name)
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        wanted = trainer.args.max_steps if trainer.args.max_steps > 0 else state.max_steps
        if state.global_step >= wanted:
            trainer._load_from_checkpoint(str(checkpoint))
            trainer.state = state
            return
    stop = StopSignal()
    # In front: what looks at the policy behind a step may leave that out where the run is told to stop.
    trainer.callback_handler.callbacks.insert(0, stop)
    trainer.add_callback(FiniteSteps())
    with stop.watching():
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint is not None else None)
    stop.refuse_unfinished(trainer.state)
