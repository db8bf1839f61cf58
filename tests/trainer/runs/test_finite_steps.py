"""A gradient that is not finite changes no weight, is said, and ends a run that has no other."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from rewright.trainer.errors import Diverged
from rewright.trainer.runs.resuming import train_to_the_end


class Line(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        loss = (x * self.slope[0]).mean()
        if labels.any():  # a root's gradient at 0 is infinite, while its value is not: a loss that looks well
            loss = loss + (self.slope[1] - self.slope[1].detach()).sqrt()
        return {"loss": loss}


def trained(folder: Path, xs: list[float], broken: set[int], **arguments: Any) -> Trainer:
    rows = [{"x": x, "labels": float(n in broken)} for n, x in enumerate(xs)]
    config = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=1, num_train_epochs=1, learning_rate=0.1, use_cpu=True,
        logging_steps=1, report_to=[], save_strategy="steps", save_steps=1, train_sampling_strategy="sequential",
        lr_scheduler_type="constant", **arguments,
    )  # fmt: skip
    return Trainer(model=Line(), args=config, train_dataset=rows)


def test_a_step_without_a_finite_gradient_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = trained(tmp_path / "a", [1.0, 1.0, 1.0], {1})
    with caplog.at_level(logging.WARNING):
        train_to_the_end(trainer, None)
    without = trained(tmp_path / "b", [1.0, 1.0], set())
    train_to_the_end(without, None)
    assert torch.isfinite(trainer.model.slope).all()
    torch.testing.assert_close(trainer.model.slope, without.model.slope)
    assert "step 2 is left out: its gradient is not finite" in caplog.text
    assert [math.isfinite(line["loss"]) for line in trainer.state.log_history if "loss" in line] == [True] * 3


def test_three_in_a_row_end_the_run_and_its_checkpoints_are_sound(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [1.0] * 9, {3, 4, 5})
    with pytest.raises(Diverged, match=r"step 6: the gradient is not finite.*learning_rate"):
        train_to_the_end(trainer, None)
    assert torch.isfinite(trainer.model.slope).all()
    assert not (tmp_path / "checkpoint-6").exists()


def test_two_in_a_row_do_not(tmp_path: Path) -> None:
    trainer = trained(tmp_path, [1.0] * 7, {0, 1, 3, 4, 6})
    train_to_the_end(trainer, None)
    assert trainer.state.global_step == 7
