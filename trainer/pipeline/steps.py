"""The steps of an experiment as a record of what was done: which inputs, which folder, when.

    WORK/steps/NAME.json      the key of the inputs, the folder, seconds
    WORK/NAME-KEY8/           the step's own folder, for these inputs alone

Promises: a step is skipped when its last file is there and nothing that it depends on changed; a step whose inputs
changed gets a folder of its own, so that nothing is ever written over; one that was killed goes on in its folder.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewright.trainer.data.whole_files import write_json, write_text
from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.claimed_folder import ClaimedFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """key: identifies the inputs, and with them the output; ran: false where the step was skipped."""

    folder: Path
    key: str
    ran: bool


class Steps(ClaimedFolder):
    """The work folder. It is locked by whoever runs steps in it."""

    kind = "pipeline"
    setting = "work"
    record = "recipe.yaml"
    alone = False  # steps of another recipe stay beside

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.done: dict[str, Done] = {}

    def note_recipe(self, text: str) -> None:
        """Keep the recipe of the last run beside the steps."""
        write_text(self.path / self.record, text)

    def run(self, name: str, *, inputs: Mapping[str, Any], last: str, do: Callable[[Path], object]) -> Done:
        """Do a step in its folder, or find that it was done. inputs: all that its output depends on; last: the file
        that it writes last, in its folder."""
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        folder = self.path / f"{name}-{key[:8]}"
        record = self.path / "steps" / f"{name}.json"
        if self._recorded(record, key) and (folder / last).is_file():
            log.info("%s: done before, in %s", name, folder.name)
            self.done[name] = Done(folder, key, ran=False)
            return self.done[name]
        log.info("%s: begins, in %s", name, folder.name)
        began = time.monotonic()
        do(folder)
        if not (folder / last).is_file():
            raise RunFolderError(f"{name} ended without {folder / last}")
        seconds = round(time.monotonic() - began, 1)
        record.parent.mkdir(exist_ok=True)
        write_json(record, {"key": key, "folder": folder.name, "seconds": seconds, "inputs": inputs})
        log.info("%s: done in %.0f s", name, seconds)
        self.done[name] = Done(folder, key, ran=True)
        return self.done[name]

    @staticmethod
    def _recorded(record: Path, key: str) -> bool:
        try:
            return bool(json.loads(record.read_text(encoding="utf-8"))["key"] == key)
        except (OSError, ValueError, KeyError, TypeError):
            return False
