"""`python -m rewright.trainer`, with every group sampled under a seed of its prompt, in whichever process it falls.

Ranks have random numbers of their own, so that a run of two is another sample of the same training. Here it is the same
one, and can be compared with that of one process. In the environment: CUT_ON_CPU cuts weights on a CPU too, where
accelerate puts DDP in FSDP's place without a word; PLAIN_ROLLOUTS samples in TRL's way, as where weights are cut.
"""

import os
import runpy
from typing import Any

import torch

from rewright.trainer.grpo import packed_rollouts
from rewright.trainer.grpo.packed_rollouts import PackedRollouts

_single_turn = PackedRollouts._generate_single_turn


def _by_prompt(self: Any, prompts: Any, images: Any, *more: Any, **named: Any) -> Any:
    found: dict[int, Any] = {}
    for prompt in dict.fromkeys(map(tuple, prompts)):
        torch.manual_seed(sum(place * token for place, token in enumerate(prompt)))
        rows = [row for row, each in enumerate(prompts) if tuple(each) == prompt]
        written, logps = _single_turn(self, [prompts[row] for row in rows], images, *more, **named)
        assert logps is None
        found |= dict(zip(rows, written, strict=True))
    return [found[row] for row in range(len(prompts))], None


def _cut_on_cpu() -> None:
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"


if __name__ == "__main__":
    PackedRollouts._generate_single_turn = _by_prompt  # type: ignore[method-assign]
    if os.environ.get("CUT_ON_CPU"):
        _cut_on_cpu()
    if os.environ.get("PLAIN_ROLLOUTS"):
        packed_rollouts._is_plain = lambda _: False  # type: ignore[assignment]
    runpy.run_module("rewright.trainer", run_name="__main__", alter_sys=True)
