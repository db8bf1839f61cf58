"""The folder of one evaluation: settings, every generation, every verdict, and the numbers made of them.

    settings.json       what the numbers depend on      generations.jsonl   every answer as it was written
    results.json, .md   the numbers                     verdicts.jsonl      how each was graded
    likelihoods.jsonl   of each question's options

Promises: a folder goes on with the evaluation that it was made for and with no other, one process at a time;
generations and verdicts are written once, whole, and never again; results come last.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.claimed_folder import ClaimedFolder
from rewright.trainer.runs.row_file import RowFile

SETTINGS, RESULTS = "settings.json", "results.json"


class EvaluateFolder(ClaimedFolder):
    kind = "evaluation"
    setting = "output"
    record = SETTINGS

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.generations = path / "generations.jsonl"
        self.verdicts = path / "verdicts.jsonl"
        self.likelihoods = path / "likelihoods.jsonl"

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Raises `RunFolderError` where it holds an evaluation of other settings."""
        self.claim_settings(settings)


class JsonLines:
    """Rows by id in a file that grows; see `rewright.trainer.runs.row_file`."""

    def __init__(self, path: Path) -> None:
        self._file = RowFile(path)
        with path.open(encoding="utf-8") as lines:
            self.rows: dict[str, dict[str, Any]] = {row["id"]: row for row in map(json.loads, lines)}

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        new = list(rows)
        self._file.append(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in new)
        self.rows.update((row["id"], row) for row in new)

    def __enter__(self) -> "JsonLines":
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)


def read_results(folder: Path) -> dict[str, Any]:
    """Raises `RunFolderError` where there is no finished evaluation."""
    try:
        return dict(json.loads((folder / RESULTS).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{folder} holds no finished evaluation ({error})") from None
