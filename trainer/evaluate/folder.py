"""The folder of one evaluation: settings, every generation, every verdict, and the numbers made of them.

    settings.json       what the numbers depend on      generations.jsonl   every answer as it was written
    results.json, .md   the numbers                     verdicts.jsonl      what the verifier said of each

Promises: a folder goes on with the evaluation that it was made for and with no other; generations and verdicts are
written once, whole, and never again; results come last.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.row_file import RowFile

SETTINGS, RESULTS = "settings.json", "results.json"


class EvaluateFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.generations = path / "generations.jsonl"
        self.verdicts = path / "verdicts.jsonl"

    def lock(self) -> AbstractContextManager[object]:
        """Held for as long as an evaluation works here; gone with its process. Raises `RunFolderError` where taken."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return FileLock(self.path.with_name(self.path.name + ".lock")).acquire(timeout=0)
        except Timeout:
            raise RunFolderError(f"another evaluation is at work in {self.path}; wait for it, or set output") from None
        except OSError as error:
            raise RunFolderError(f"output: cannot write {self.path}: {error}") from None

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Raises `RunFolderError` where it holds other files, or an evaluation of other settings."""
        wanted = json.loads(json.dumps(settings))
        file = self.path / SETTINGS
        if not file.is_file():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise RunFolderError(f"{self.path} is there and holds no evaluation; set output to a new folder")
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                write_json(file, wanted)
            except OSError as error:
                raise RunFolderError(f"output: cannot write {self.path}: {error}") from None
            return
        found = json.loads(file.read_text(encoding="utf-8"))
        if changed := sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key)):
            raise RunFolderError(
                f"{self.path} holds an evaluation of other settings (changed: {', '.join(changed)}); "
                "set output to a new folder"
            )


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


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(unfinished, file)
