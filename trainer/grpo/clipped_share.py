"""How many tokens' weights are clipped, where another engine than the trainer samples: a number in the trainer's log.

vLLM and the trainer round otherwise, and each token of a rollout is weighed by π_trainer / π_vLLM, clipped at TRL's
`vllm_importance_sampling_clip_max` (3; `token_truncate`). TRL logs the least, mean and largest ratio behind clipping,
which do not tell one clipped token from every third. A share that grows says that the two are no longer one policy:
weights that did not reach the server, another template, another precision.
"""

from typing import Any

import torch

CLIPPED = "sampling/clipped"
"""Of all tokens of the step's responses, on all processes, those whose weight was clipped."""


class ClippedShare:
    """In front of TRL's `GRPOTrainer` among the bases of a trainer."""

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        me: Any = self
        parent: Any = super()
        output: dict[str, Any] = parent._generate_and_score_completions(inputs)
        ratios = output.get("importance_sampling_ratio")
        if ratios is not None:
            mode = "train" if me.model.training else "eval"
            counts = counted(ratios, output["completion_mask"], me.vllm_importance_sampling_clip_max)
            clipped, tokens = me.accelerator.gather(counts).view(-1, 2).sum(dim=0).tolist()
            me._metrics[mode][CLIPPED].append(clipped / max(1.0, tokens))
        return output


def counted(ratios_BT: torch.Tensor, mask_BT: torch.Tensor, most: float) -> torch.Tensor:
    """Clipped tokens and all tokens, float32, shape [2]. ratios_BT: behind clipping at `most`; mask_BT: 1 at tokens."""
    tokens_BT = mask_BT.bool()
    return torch.stack([((ratios_BT >= most) & tokens_BT).sum(), tokens_BT.sum()]).float()
