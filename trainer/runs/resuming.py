"""From a checkpoint, or from the start, to the end of a training run.

A run killed between its last checkpoint and its final weights has nothing left to train; transformers' trainer would
take one step more than asked for. Private parts of the trainer are used for that, there being no public ones.
"""

import logging
from pathlib import Path
from typing import Any

from transformers import TrainerState

from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.finite_steps import FiniteSteps
from rewright.trainer.runs.stop_signal import StopSignal
from rewright.trainer.runs.whole_checkpoint import cuts_as, how_cut

log = logging.getLogger(__name__)


def train_to_the_end(trainer: Any, checkpoint: Path | None) -> None:
    """Raises `Stopped` after SIGTERM, with a checkpoint of the last step, and `Diverged`.

    Raises `RunFolderError` for a checkpoint that this trainer could not read, since its weights are cut otherwise.
    """
    if checkpoint is not None:
        _refuse_another_cut(trainer, checkpoint)
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


def _refuse_another_cut(trainer: Any, checkpoint: Path) -> None:
    before, now = how_cut(checkpoint), cuts_as(trainer)
    if before != now:
        raise RunFolderError(
            f"{checkpoint} was written by {before}, and this run would go on with {now}, which cannot read it: start "
            "it with the accelerate configuration that it began with, or set keeping.output to a new folder"
        )
