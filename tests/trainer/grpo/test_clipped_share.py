"""The share of clipped weights, counted over tokens and processes."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from rewright.trainer.grpo.clipped_share import CLIPPED, ClippedShare

RATIOS = torch.tensor([[3.0, 1.0, 3.0], [0.5, 2.99, 3.0]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


class Sampled:
    """As far as TRL's trainer matters here; what the other of two processes counted comes along when gathered."""

    def __init__(self, output, other=(0.0, 0.0)):
        self.output = output
        self.model = SimpleNamespace(training=True)
        self.vllm_importance_sampling_clip_max = 3.0
        self._metrics = {"train": defaultdict(list)}
        self.accelerator = SimpleNamespace(gather=lambda mine: torch.cat([mine, torch.tensor(other)]))

    def _generate_and_score_completions(self, inputs):
        return self.output


class Trainer(ClippedShare, Sampled):
    pass


@pytest.mark.parametrize(("other", "share"), [((0.0, 0.0), 2 / 5), ((0.0, 15.0), 2 / 20)])
def test_what_is_no_token_is_not_counted_and_all_processes_are(other, share):
    trainer = Trainer({"importance_sampling_ratio": RATIOS, "completion_mask": MASK}, other)
    assert trainer._generate_and_score_completions([]) is trainer.output
    assert trainer._metrics["train"] == {CLIPPED: [pytest.approx(share)]}


def test_rollouts_of_the_trainer_itself_have_no_such_weights():
    trainer = Trainer({"completion_mask": MASK})
    trainer._generate_and_score_completions([])
    assert not trainer._metrics["train"]
