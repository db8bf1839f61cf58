"""The run folder: which run it belongs to, where it stopped, and what is found in it afterwards.

    recipe.yaml         the resolved recipe            provenance.json   data hash, prompt, backbone, service
    corpus/             stage_one, stage_two, report   checkpoint-N/     what a run goes on from
    completions/        candidates (where kept)        adapter/, model/  what was trained, with its card
    plots/              reward, yield, nll, diversity  trainer_state.json the log, a row a step
    watch.jsonl         held-back problems, a row a look    best/        the adapter of the best look, and why
    runs/               TensorBoard's files            loss.*            the loss curve (SFT)

Promises: a folder goes on with the run that it was made for and with no other, one process (or one group of ranks) at a
time; nothing is ever deleted or written over
but checkpoints past their number; a checkpoint that was cut short by a kill is never used.
"""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from rewright.trainer.data.whole_files import write_json, write_text
from rewright.trainer.errors import RunFolderError
from rewright.trainer.recipes.grpo import GrpoRecipe
from rewright.trainer.recipes.loader import as_yaml
from rewright.trainer.recipes.sft import SftRecipe
from rewright.trainer.runs.claimed_folder import ClaimedFolder
from rewright.trainer.runs.whole_checkpoint import what_is_missing

log = logging.getLogger(__name__)

_MAY_CHANGE: dict[str, dict[str, set[str]]] = {
    "grpo": {
        "reward": {"base_urls", "api_key_file", "patience_s"},
        "rollouts": {"vllm_url", "vllm_gpu_share", "vllm_tensor_parallel"},
        "training": {"max_steps", "epochs", "micro_batch", "gradient_checkpointing"},
        "backbone": {"device"},
    },
    # The schedule of SFT depends on its length, so the length cannot change under way.
    "sft": {"training": {"micro_batch", "gradient_checkpointing"}, "backbone": {"device"}},
}
_TRAINS_NOTHING = ("keeping", "watch")


class RunFolder(ClaimedFolder):
    kind = "training run"
    setting = "keeping.output"
    record = "recipe.yaml"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.corpus = path / "corpus"
        self.adapter = path / "adapter"
        self.model = path / "model"
        self.best = path / "best"
        self.plots = path / "plots"

    @contextmanager
    def claimed(self, recipe: GrpoRecipe | SftRecipe, *, resume: bool, first_rank: bool) -> Iterator[None]:
        """Hold the folder for this recipe. Of several ranks the first does it for all.

        Raises `RunFolderError` as `lock` and `claim` do.
        """
        if not first_rank:
            yield
            return
        with self.lock():
            self.claim(recipe, resume=resume)
            yield

    def claim(self, recipe: GrpoRecipe | SftRecipe, *, resume: bool) -> None:
        """Make the folder this recipe's, or find that it is already.

        A recipe that never came to a checkpoint may be fixed: it is replaced.

        Called while the folder is held. Raises `RunFolderError` where it holds a run and `resume` is off, or a run of
        another recipe.
        """
        file = self.path / self.record
        if not file.is_file():
            write_text(file, as_yaml(recipe))
            return
        if not resume:
            raise RunFolderError(f"{self.path} holds a run already; go on with --resume, or set keeping.output")
        if self.last_checkpoint() is None and not (self.adapter.exists() or self.model.exists()):
            write_text(file, as_yaml(recipe))
            return
        before = yaml.safe_load(file.read_text(encoding="utf-8"))
        if changed := list(_differences(before, yaml.safe_load(as_yaml(recipe)))):
            raise RunFolderError(
                f"{self.path} holds a run of another recipe: {'; '.join(changed)}. Set keeping.output to a new folder"
            )

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that is whole; newer ones that are not are named in a warning."""
        numbered = {
            int(c.name.removeprefix("checkpoint-")): c
            for c in self.path.glob("checkpoint-*")
            if c.name.removeprefix("checkpoint-").isdecimal()
        }
        for _, checkpoint in sorted(numbered.items(), reverse=True):
            missing = what_is_missing(checkpoint)
            if missing is None:
                return checkpoint
            log.warning("%s is passed over, since %s is missing or cut short", checkpoint, missing)
        if numbered:
            log.warning(
                "of %d checkpoints in %s none is whole: nothing is left to go on from", len(numbered), self.path
            )
        return None

    def note_provenance(self, provenance: dict[str, Any]) -> None:
        """A resumed run adds to what is there: a list, one entry a start."""
        file = self.path / "provenance.json"
        starts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        write_json(file, [*starts, provenance])


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Any:
    may_change = _MAY_CHANGE[now["kind"]]
    for block, content in now.items():
        if block in _TRAINS_NOTHING or before.get(block) == content:
            continue
        if not isinstance(content, dict) or not isinstance(before.get(block), dict):
            yield f"{block} was {before.get(block)!r}"
            continue
        for key in content.keys() | before[block].keys():
            if key not in may_change.get(block, set()) and before[block].get(key) != content.get(key):
                yield f"{block}.{key} was {before[block].get(key)!r}, is {content.get(key)!r}"
