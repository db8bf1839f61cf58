"""One of several processes of a run under DDP: a step shared and one in TRL's way, then one with a fault in rank 1.

Started by torchrun from test_shared_prompt.py; the first process prints what came of it, as JSON.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from rewright.service.models.forward import packed_blocks
from rewright.trainer.grpo.trainer import SharedPromptTrainer
from tests.service.scorers.tiny_models import tiny_model
from tests.trainer.grpo.test_shared_prompt import PROMPTS, apart, step, trainer_of


def made() -> Any:
    """Each process has prompts of its own, of unlike lengths."""
    prompts = [[1 + int(os.environ["RANK"]), *prompt] for prompt in PROMPTS]
    trainer = trainer_of(SharedPromptTrainer, Path(tempfile.mkdtemp()), tiny_model("llama"), prompts=prompts)
    trainer.model_wrapped = trainer.accelerator.prepare(trainer.model)
    return trainer


def main() -> None:
    ours = made()
    found = step(ours, ours.model_wrapped)
    theirs = made()
    theirs._sharing = False
    right = step(theirs, theirs.model_wrapped)
    rank = theirs.accelerator.process_index
    kept = packed_blocks.Spans.backward
    if rank == 1:
        packed_blocks.Spans.backward = lambda *asked: tuple(each * 1.05 for each in kept(*asked))  # type: ignore
    faulty = made()
    fallen_back = step(faulty, faulty.model_wrapped)
    packed_blocks.Spans.backward = kept  # type: ignore[method-assign]
    said = {
        "wrapped": type(ours.model_wrapped).__name__,
        "processes": ours.accelerator.num_processes,
        "sharing": ours._sharing,
        "apart": apart(right[1], found[1]),
        "with a fault": faulty._sharing,
        "apart with a fault": apart(right[1], fallen_back[1]),
    }
    everybody = theirs.accelerator.gather_for_metrics([said], use_gather_object=True)
    if rank == 0:
        print("SAID " + json.dumps(everybody))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
