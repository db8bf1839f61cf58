"""The policy, looked at while it trains: every so many steps it rewrites held-back problems, greedily.

Promises: the problems are of Stage II, on which it is never trained, and the same at every look; each look is a line of
`watch.jsonl`, also after a kill, and its numbers stand in the trainer's log as `watch/…`; what should worry somebody is
a warning; the adapter of the best look so far, by `looks.RULE`, is kept in `best/`. A service that does not answer
costs a look and no more; a look changes no random number of the training.

Not covered: weights that are cut over processes (FSDP, ZeRO-3), which one process cannot write with: said once.
"""

import json
import logging
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.service.models.chat_format import ChatFormat
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.data.whole_files import write_json, write_text
from rewright.trainer.grpo.looks import RULE, Look, alarms, best_of, look_from_row, numbers

log = logging.getLogger(__name__)

PREFIX = "watch/"
_CHECKED = {"variant": "task_only", "reasoning": "checks"}


class Asked(NamedTuple):
    """sample: what is rewritten; ids: its prompt, as rollouts have it."""

    sample: Sample
    ids: list[int]


class Written(NamedTuple):
    text: str
    cut_off: bool


Greedy = Callable[[Sequence[Sequence[int]]], list[list[int]]]
"""Prompts as ids → what the policy writes behind them, with the id that ended it."""


def asked(samples: Sequence[Sample], prompt: Prompt, chat: ChatFormat) -> list[Asked]:
    """Each sample with its rewriting prompt."""
    turns = ([{"role": "user", "content": prompt.fill(problem=s.problem, solution=s.reference)}] for s in samples)
    return [Asked(sample, list(chat.encode_prompt(turn))) for sample, turn in zip(samples, turns, strict=True)]


class Watch(TrainerCallback):
    """every: steps between two looks; folder: of the run; rule: as for the rewards; client: opens one for a look."""

    def __init__(
        self,
        problems: Sequence[Asked],
        *,
        every: int,
        folder: Path,
        chat: ChatFormat,
        rule: dict[str, Any],
        client: Callable[[], RewardClient],
    ) -> None:
        self._problems = problems
        self._every = every
        self._file = folder / "watch.jsonl"
        self._best = folder / "best"
        self._chat = chat
        self._rule = rule
        self._client = client
        self._looks: list[Look] = []
        self._trainer: Any = None

    def watches(self, trainer: Any) -> None:
        """From now on, and whom it asks for texts."""
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            log.warning("the policy is not watched: its weights are cut over processes")
            return
        self._trainer = trainer
        trainer.add_callback(self)

    @property
    def looks(self) -> list[Look]:
        return list(self._looks)

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if not state.is_world_process_zero:
            return
        lines = self._file.read_text("utf-8").split("\n") if self._file.is_file() else []
        rows = [json.loads(line) for line in lines if line]
        # A run that was killed goes on from its last checkpoint, and looks again at what it does again.
        self._looks = [look_from_row(row) for row in rows if row["step"] <= state.global_step]
        if not self._looks:
            self._look(0)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        due = state.global_step % self._every == 0 or state.global_step == state.max_steps
        if due and state.is_world_process_zero and (not self._looks or self._looks[-1].step < state.global_step):
            self._look(state.global_step)

    def _look(self, step: int) -> None:
        written = self._write()
        try:
            values = self._score(written)
        except RewrightError as error:
            log.warning("no look at the policy behind step %d: %s", step, error.message)
            return
        if kl := self._trainer._metrics["train"].get("kl"):
            values["kl"] = statistics.fmean(kl)
        look = Look(step, len(written), values)
        before = best_of(self._looks)
        self._looks.append(look)
        write_text(self._file, "".join(json.dumps(each.as_row()) + "\n" for each in self._looks))
        if step > 0:
            # Into the step's own row: TRL's `log` would take what belongs to that row along.
            for name, value in values.items():
                self._trainer._metrics["train"][PREFIX + name].append(value)
        log.info("behind step %d, of %d held-back problems: %s", step, len(written), _shown(values))
        for alarm in alarms(self._looks[0], look):
            log.warning("behind step %d: %s", step, alarm)
        best = best_of(self._looks)
        if best is look and best is not before:
            self._trainer.save_model(str(self._best))
            write_json(self._best / "why.json", {"rule": RULE, **look.as_row()})

    def _write(self) -> list[Written]:
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices=devices):
            answers = self._trainer.greedy([each.ids for each in self._problems])
        return [self._read(ids) for ids in answers]

    def _read(self, ids: list[int]) -> Written:
        ended = bool(ids) and ids[-1] in self._chat.stop_ids
        tokenizer = self._trainer.processing_class
        text = tokenizer.decode(ids[: len(ids) - ended], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Written(text.strip(), not ended)

    def _score(self, written: Sequence[Written]) -> dict[str, float]:
        groups = [
            {"problem": s.problem, "reference": s.reference, "answer": s.answer, "candidates": [each.text]}
            for (s, _), each in zip(self._problems, written, strict=True)
        ]
        with self._client() as client:
            rewards = client.reward(groups, rule=self._rule).groups
            checked = client.reward(groups, rule=_CHECKED).groups
            nlls = client.nll(groups, tokens=True).groups
        return numbers(rewards, checked, nlls, [each.cut_off for each in written])  # type: ignore[arg-type]


def _shown(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())
