"""The policy, looked at while it trains: every so many steps it rewrites held-back problems, greedily.

Promises: the problems are of Stage II, on which it is never trained, and the same at every look; each look is a line of
`watch.jsonl`, once, also after a kill, and its numbers stand in the trainer's log as `watch/…`; what should worry
somebody is a warning; the adapter of the best look so far, by `looks.RULE`, is kept in `best/`, whole or not at all,
with all that is needed to use it. A service that does not answer, or memory that does not do, costs a look and no more;
numbers of a scorer that is off are left out; a look changes no random number of the training. A run that was told to
stop is not looked at before its checkpoint is written, but when it goes on.

Not covered: weights that are cut over processes (FSDP, ZeRO-3), which one process cannot write with: said once.
"""

import json
import logging
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import TrainerCallback

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import NllGroup, RewrightError, ScorerOff
from rewright.service.models.chat_format import ChatFormat
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.data.whole_files import UNFINISHED, read_json, write_json, write_text
from rewright.trainer.errors import RunFolderError
from rewright.trainer.grpo.looks import RULE, Look, alarms, best_of, look_from_row, numbers, same_problems

log = logging.getLogger(__name__)

PREFIX = "watch/"
PATIENCE_S = 300.0
"""The longest that a look waits for the service: meanwhile other processes of the run wait for this one."""
_CHECKED = {"variant": "task_only", "reasoning": "checks", "skip_unused": True}
_OF_ROLLOUTS = {"kl": "kl", "diversity": "rewright/diversity"}


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
    """every: steps between two looks; folder: of the run; rule: as for the rewards; client: opens one for a look.

    describe: told a folder of weights and the looks so far, the last of which is theirs; adds what it takes to use
    them.
    """

    def __init__(
        self,
        problems: Sequence[Asked],
        *,
        every: int,
        folder: Path,
        chat: ChatFormat,
        rule: dict[str, Any],
        client: Callable[[], RewardClient],
        describe: Callable[[Path, Sequence[Look]], None],
    ) -> None:
        self._problems = problems
        self._every = every
        self._file = folder / "watch.jsonl"
        self._best = folder / "best"
        self._fresh = folder / f"best{UNFINISHED}"
        self._chat = chat
        self._rule = rule
        self._client = client
        self._describe = describe
        self._looks: list[Look] = []
        self._trainer: Any = None

    def watches(self, trainer: Any) -> None:
        """From now on, and whom it asks for texts."""
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            log.warning("the policy is not watched: its weights are cut over processes")
            return
        self._trainer = trainer
        trainer.add_callback(self)

    def looks(self, step: int) -> list[Look]:
        """Those of the run up to this step, whichever process took them.

        Raises `RunFolderError` for a line that is none of ours.
        """
        lines = self._file.read_text("utf-8").split("\n") if self._file.is_file() else []
        try:
            looks = [look_from_row(json.loads(line)) for line in lines if line]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RunFolderError(
                f"{self._file} has a line that no look wrote; repair it or move the file away"
            ) from None
        return [look for look in looks if look.step <= step]

    @property
    def kept(self) -> Look | None:
        """Whose weights lie in `best/`."""
        row = read_json(self._best / "why.json")
        return None if row is None else look_from_row({name: row[name] for name in row if name != "rule"})

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if not state.is_world_process_zero:
            return
        if not self._best.exists() and (self._fresh / "why.json").is_file():
            self._fresh.rename(self._best)
        # A run that was killed goes on from its last checkpoint, and looks again at what it does again.
        self._looks = self.looks(state.global_step)
        if not self._looks or (self._due(state) and self._looks[-1].step < state.global_step):
            self._look(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        told_to_stop = control.should_training_stop and state.global_step < state.max_steps
        if not self._due(state) or not state.is_world_process_zero or told_to_stop:
            return
        look = self._look(state.global_step)
        # Into the step's own row: TRL's `log` would take what belongs to that row along.
        for name, value in look.values.items() if look is not None else ():
            self._trainer._metrics["train"][PREFIX + name].append(value)

    def _due(self, state: Any) -> bool:
        return bool(state.global_step % self._every == 0 or state.global_step == state.max_steps)

    def _look(self, step: int) -> Look | None:
        try:
            written = self._write()
            values = self._score(written)
        except RewrightError as error:
            log.warning("no look at the policy behind step %d: %s", step, error.message)
            return None
        except torch.OutOfMemoryError:
            log.warning("no look at the policy behind step %d: the device's memory does not hold one problem", step)
            return None
        for name, metric in _OF_ROLLOUTS.items():
            # TRL keeps NaN there for a batch without a value.
            found = [each for each in self._trainer._metrics["train"].get(metric, ()) if math.isfinite(each)]
            if found:
                values[name] = statistics.fmean(found)
        look = Look(step, len(written), values)
        self._looks.append(look)
        write_text(self._file, "".join(json.dumps(each.as_row()) + "\n" for each in self._looks))
        log.info("behind step %d, of %d held-back problems: %s", step, len(written), _shown(values))
        for alarm in alarms(same_problems(self._looks)[0], look):
            log.warning("behind step %d: %s", step, alarm)
        if best_of(self._looks) is look:
            self._keep(look)
        return look

    def _keep(self, look: Look) -> None:
        if self._fresh.exists():
            shutil.rmtree(self._fresh)
        self._trainer.save_model(str(self._fresh))
        self._describe(self._fresh, self._looks)
        write_json(self._fresh / "why.json", {"rule": RULE, **look.as_row()})
        if self._best.exists():
            shutil.rmtree(self._best)
        self._fresh.rename(self._best)

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
            nlls: Sequence[NllGroup] = ()
            try:
                nlls = client.nll(groups, tokens=True).groups
            except ScorerOff:
                log.debug("the service has no π0: a look without likelihoods")
        return numbers(rewards, checked, nlls, [each.cut_off for each in written])  # type: ignore[arg-type]


def _shown(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())
