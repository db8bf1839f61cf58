"""The watch as the trainer calls it: what is written, kept and left out when run, service or memory fail."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rewright.clients.wire import ScorerOff, ScorerUnavailable
from rewright.trainer.data.samples import Sample
from rewright.trainer.errors import RunFolderError
from rewright.trainer.grpo.looks import Look
from rewright.trainer.grpo.watch import Asked, Watch
from tests.trainer.grpo.test_looks import likely, reward

STOP = 9


class Service:
    """Answers as `RewardClient` does: `right` of the texts are right."""

    def __init__(self) -> None:
        self.right = 1
        self.trouble: dict[str, Exception] = {}
        self.rules: list[dict[str, Any]] = []
        self.texts: list[str] = []

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None: ...

    def reward(self, groups: Sequence[Any], *, rule: dict[str, Any]) -> Any:
        self._refuse("reward")
        self.rules.append(rule)
        self.texts = [group["candidates"][0] for group in groups]
        return SimpleNamespace(groups=[reward(v_ans=int(k < self.right)) for k in range(len(groups))])

    def nll(self, groups: Sequence[Any], *, tokens: bool) -> Any:
        self._refuse("nll")
        return SimpleNamespace(groups=[likely([-1.0]) for _ in groups])

    def _refuse(self, endpoint: str) -> None:
        if endpoint in self.trouble:
            raise self.trouble[endpoint]


class Trainer:
    is_fsdp_enabled = is_deepspeed_enabled = False

    def __init__(self) -> None:
        self._metrics: dict[str, dict[str, list[float]]] = {"train": {}}
        self.processing_class = SimpleNamespace(decode=lambda ids, **_: " ".join(map(str, ids)))
        self.step = 0
        self.added: list[Any] = []
        self.trouble: Exception | None = None
        self.drawn = 0.0

    def add_callback(self, callback: Any) -> None:
        self.added.append(callback)

    def greedy(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        if self.trouble is not None:
            raise self.trouble
        self.drawn = float(torch.rand(()))
        return [[1, STOP], *([1, 2] for _ in prompts[1:])]

    def save_model(self, folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "weights").write_text(str(self.step))


class Run:
    """One process of a run: its watch over a folder."""

    def __init__(self, folder: Path, service: Service, *, every: int = 2, problems: int = 4) -> None:
        self.folder = folder
        self.diversity = [0.5]
        self.trainer = Trainer()
        sample = Sample("p", "x", "y", "1", "file")
        self.watch = Watch(
            [Asked(sample, [1, 2])] * problems,
            every=every,
            folder=folder,
            chat=SimpleNamespace(stop_ids={STOP}),  # type: ignore[arg-type]
            rule={},
            client=lambda: service,  # type: ignore[arg-type,return-value]
            describe=self.describe,
        )
        self.watch.watches(self.trainer)

    def describe(self, adapter: Path, looks: Sequence[Look]) -> None:
        (adapter / "README.md").write_text(str(looks[-1].step))

    def begin(self, step: int = 0, *, first: bool = True) -> None:
        self.watch.on_train_begin(None, self._state(step, first=first), self._control(stop=False))

    def step(self, *steps: int, first: bool = True, stop: bool = False, last: int = 100) -> None:
        for step in steps:
            self.trainer.step = step
            self.trainer._metrics["train"] = defaultdict(
                list, {"kl": [0.25, 0.75], "rewright/diversity": list(self.diversity)}
            )
            self.watch.on_step_end(None, self._state(step, first=first, last=last), self._control(stop=stop))

    def rows(self) -> list[dict[str, Any]]:
        file = self.folder / "watch.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def best(self) -> str | None:
        file = self.folder / "best" / "weights"
        return file.read_text() if file.exists() else None

    @staticmethod
    def _state(step: int, *, first: bool, last: int = 100) -> Any:
        return SimpleNamespace(global_step=step, max_steps=last, is_world_process_zero=first)

    @staticmethod
    def _control(*, stop: bool) -> Any:
        return SimpleNamespace(should_training_stop=stop)


@pytest.fixture
def service() -> Service:
    return Service()


def steps(run: Run) -> list[int]:
    return [row["step"] for row in run.rows()]


def test_looks_are_logged_once_with_what_the_rollouts_said(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(1, 2)
    assert steps(run) == [0, 2]
    assert service.texts == ["1", "1 2", "1 2", "1 2"] and run.rows()[1]["cut_off"] == 0.75
    assert run.rows()[1] | {"yield": 0.25, "kl": 0.5, "diversity": 0.5, "nll": 1.0} == run.rows()[1]
    assert run.trainer._metrics["train"]["watch/yield"] == [0.25]
    assert "kl" not in run.rows()[0]


def test_what_the_rollouts_have_no_value_of_is_left_out(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.diversity = [math.nan, 0.25]
    run.step(2)
    run.diversity = [math.nan]
    run.step(4)
    assert [row.get("diversity") for row in run.rows()] == [None, 0.25, None]


def test_the_last_step_is_looked_at_too(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(1, last=1)
    assert steps(run) == [0, 1]


def test_a_look_moves_no_random_number_of_the_training(tmp_path: Path, service: Service) -> None:
    torch.manual_seed(3)
    expected = float(torch.rand(()))
    torch.manual_seed(3)
    run = Run(tmp_path, service)
    run.begin()
    run.step(2)
    assert run.trainer.drawn == expected == float(torch.rand(()))


def test_the_best_adapter_lies_there_whole_and_described(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    assert run.best() is None and run.watch.kept is None
    for step, right in ((2, 2), (4, 4), (6, 1)):
        service.right = right
        run.step(step)
    assert run.best() == "4" and run.watch.kept is not None and run.watch.kept.step == 4
    assert (tmp_path / "best" / "README.md").read_text() == "4"
    assert "rule" in json.loads((tmp_path / "best" / "why.json").read_text())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["best", "watch.jsonl"]


def test_killed_between_two_looks_no_line_is_doubled_and_none_is_lost(tmp_path: Path, service: Service) -> None:
    first = Run(tmp_path, service)
    first.begin()
    first.step(1, 2, 3, 4, 5)
    again = Run(tmp_path, service)
    again.begin(3)
    assert steps(again) == [0, 2, 4]
    again.step(4, 5, 6)
    assert steps(again) == [0, 2, 4, 6]


def test_killed_while_the_best_is_put_in_place_it_is_put_there_later(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(2)
    (tmp_path / "best").rename(tmp_path / "best.unfinished")
    Run(tmp_path, service).begin(2)
    assert run.best() == "2"


def test_killed_while_the_best_is_saved_the_one_before_stays(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(2)
    (tmp_path / "best.unfinished").mkdir()
    again = Run(tmp_path, service)
    again.begin(2)
    assert again.best() == "2"
    service.right = 4
    again.step(4)
    assert again.best() == "4"


def test_a_service_that_is_away_costs_a_look_and_no_more(
    tmp_path: Path, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, service)
    run.begin()
    service.trouble = {"reward": ScorerUnavailable("gone")}
    run.step(2)
    service.trouble = {"nll": ScorerUnavailable("gone")}
    run.step(4)
    service.trouble = {}
    run.step(6)
    assert steps(run) == [0, 6]
    assert "no look at the policy behind step 2: gone" in caplog.text


def test_a_run_whose_first_look_was_missed_does_not_call_a_trained_policy_untrained(
    tmp_path: Path, service: Service
) -> None:
    service.trouble = {"reward": ScorerUnavailable("gone")}
    Run(tmp_path, service).begin()
    service.trouble = {}
    again = Run(tmp_path, service)
    again.begin(3)
    assert steps(again) == [3]


def test_a_service_without_a_backbone_gives_looks_without_likelihoods(tmp_path: Path, service: Service) -> None:
    service.trouble = {"nll": ScorerOff("off")}
    run = Run(tmp_path, service)
    run.begin()
    (row,) = run.rows()
    assert row["yield"] == 0.25 and not {"nll", "nll_head"} & row.keys()
    assert service.rules[1]["skip_unused"], "the certain checks would ask for a backbone that is off"


def test_memory_that_does_not_do_costs_a_look(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.trainer.trouble = torch.OutOfMemoryError()
    run.begin()
    assert run.rows() == []


def test_told_to_stop_it_looks_when_the_run_goes_on(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(2, stop=True)
    assert steps(run) == [0]
    again = Run(tmp_path, service)
    again.begin(2)
    assert steps(again) == [0, 2]


def test_other_processes_write_nothing(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin(first=False)
    run.step(2, first=False)
    assert run.rows() == [] and run.best() is None


def test_looks_of_a_run_that_is_over_are_read_back(tmp_path: Path, service: Service) -> None:
    run = Run(tmp_path, service)
    run.begin()
    run.step(2, 4)
    assert [look.step for look in Run(tmp_path, service).watch.looks(3)] == [0, 2]


def test_a_line_that_is_no_look_is_named(tmp_path: Path, service: Service) -> None:
    (tmp_path / "watch.jsonl").write_text('{"step": 0, "prob')
    with pytest.raises(RunFolderError, match=r"watch\.jsonl"):
        Run(tmp_path, service).begin()


def test_weights_that_are_cut_over_processes_are_not_watched(
    tmp_path: Path, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(tmp_path, service)
    run.trainer.added.clear()
    run.trainer.is_fsdp_enabled = True
    run.watch.watches(run.trainer)
    assert run.trainer.added == [] and "not watched" in caplog.text
