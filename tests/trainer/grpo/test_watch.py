"""The watch beside a trainer that writes what it is told: looks, their file, the best adapter, and a service away."""

import json
import logging
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from rewright.service.errors import ScorerUnavailable
from rewright.trainer.data.samples import Sample
from rewright.trainer.grpo.watch import Asked, Watch
from tests.trainer.grpo.test_looks import likely, reward

STOP = 2


class Trainer:
    is_fsdp_enabled = is_deepspeed_enabled = False

    def __init__(self) -> None:
        self._metrics: dict[str, dict[str, list[float]]] = {"train": defaultdict(list)}
        self.processing_class = SimpleNamespace(decode=lambda ids, **_: " ".join(map(str, ids)))
        self.saved: list[str] = []
        self.drawn: list[float] = []

    def add_callback(self, callback: Any) -> None:
        self.callback = callback

    def greedy(self, prompts: list[list[int]]) -> list[list[int]]:
        self.drawn.append(float(torch.rand(())))
        return [[7, 8, STOP], [7, 8, 9]][: len(prompts)]

    def save_model(self, folder: str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.saved.append(folder)


class Client:
    """answers: how many of the two problems are rewritten rightly, a look; an error is raised instead."""

    def __init__(self, answers: list[int | Exception]) -> None:
        self.answers = answers
        self.texts: list[str] = []

    def __call__(self) -> "Client":
        return self

    def __enter__(self) -> "Client":
        self.now = self.answers.pop(0)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def reward(self, groups: list[dict[str, Any]], rule: object) -> SimpleNamespace:
        if isinstance(self.now, Exception):
            raise self.now
        self.texts = [group["candidates"][0] for group in groups]
        return SimpleNamespace(
            groups=[reward(v_ans=int(k < self.now), v_rea=1 if k < self.now else None) for k in (0, 1)]
        )

    def nll(self, groups: list[dict[str, Any]], *, tokens: bool) -> SimpleNamespace:
        return SimpleNamespace(groups=[likely([-1.0]), likely([-1.0])])


def state(step: int, last: int = 100) -> Any:
    return SimpleNamespace(is_world_process_zero=True, global_step=step, max_steps=last)


def watched(folder: Path, answers: list[int | Exception]) -> tuple[Watch, Trainer, Client]:
    samples = [Sample(id=f"p{k}", problem="P", reference="R", answer="1", source="s") for k in (0, 1)]
    client, trainer = Client(answers), Trainer()
    watch = Watch(
        [Asked(sample, [1]) for sample in samples],
        every=2,
        folder=folder,
        chat=cast(Any, SimpleNamespace(stop_ids=frozenset({STOP}))),
        rule={},
        client=cast(Any, client),
    )
    watch.watches(trainer)
    return watch, trainer, client


def run(watch: Watch, steps: range, last: int = 100) -> None:
    watch.on_train_begin(None, state(steps.start - 1), None)
    for step in steps:
        watch.on_step_end(None, state(step, last), None)


def steps_of(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "watch.jsonl").read_text().splitlines()]


def test_it_looks_before_training_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    watch, trainer, client = watched(tmp_path, [0, 1, 1, 1])
    run(watch, range(1, 6), last=5)
    assert steps_of(tmp_path) == [0, 2, 4, 5]
    assert client.texts == ["7 8", "7 8 9"]
    assert watch.looks[0].values["cut_off"] == 0.5
    assert trainer._metrics["train"]["watch/yield"] == [0.5, 0.5, 0.5]


def test_a_service_that_is_away_costs_a_look_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch, _, _ = watched(tmp_path, [0, ScorerUnavailable("the judge is away"), 2])
    with caplog.at_level(logging.WARNING):
        run(watch, range(1, 5))
    assert steps_of(tmp_path) == [0, 4]
    assert "no look at the policy behind step 2: the judge is away" in caplog.text


def test_what_was_looked_at_behind_the_checkpoint_is_looked_at_again(tmp_path: Path) -> None:
    watch, _, _ = watched(tmp_path, [0, 1, 2])
    run(watch, range(1, 5))
    again, _, _ = watched(tmp_path, [1])
    run(again, range(4, 5))  # the last checkpoint is of step 3
    assert steps_of(tmp_path) == [0, 2, 4]
    assert [look.values["yield"] for look in again.looks] == [0.0, 0.5, 0.5]


def test_the_best_look_s_adapter_is_kept_and_a_worse_one_is_not(tmp_path: Path) -> None:
    watch, trainer, _ = watched(tmp_path, [0, 2, 0])
    run(watch, range(1, 5))
    assert trainer.saved == [str(tmp_path / "best")]
    why = json.loads((tmp_path / "best" / "why.json").read_text())
    assert why["step"] == 2 and why["yield"] == 1.0 and "highest yield" in why["rule"]


def test_a_look_moves_no_random_number_of_the_training(tmp_path: Path) -> None:
    watch, trainer, _ = watched(tmp_path, [0, 1])
    torch.manual_seed(3)
    expected = float(torch.rand(()))
    torch.manual_seed(3)
    run(watch, range(1, 3))
    assert float(torch.rand(())) == expected
    assert len(trainer.drawn) == 2


def test_weights_that_are_cut_over_processes_are_not_watched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch, _, _ = watched(tmp_path, [])
    trainer = Trainer()
    trainer.is_fsdp_enabled = True
    with caplog.at_level(logging.WARNING):
        watch.watches(trainer)
    assert not hasattr(trainer, "callback") and "not watched" in caplog.text
