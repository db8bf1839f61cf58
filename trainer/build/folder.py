"""The folder of a build: whose it is, how far it got, and what is found in it afterwards.

    settings.json       what the rows depend on      corpus/       stage_one, stage_two, report (unless one was given)
    rows.jsonl          every row, growing in order  build.json    what came out; written last
    dataset.jsonl, .parquet   what SFT trains on     llamafactory/ the same for LLaMA-Factory
    README.md, plots/   the dataset card             shards/i-of-n one such folder per shard

Promises: a folder goes on with the build that it was made for and with no other; one process works in it at a time.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from rewright.trainer.errors import RunFolderError


class BuildFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = path / "rows.jsonl"
        self.corpus = path / "corpus"
        self.plots = path / "plots"
        self.card = path / "README.md"
        self.llama_factory = path / "llamafactory"
        self._settings = path / "settings.json"
        self._report = path / "build.json"

    def dataset(self, format: str) -> Path:
        return self.path / f"dataset.{format}"

    def shard(self, name: str) -> "BuildFolder":
        return BuildFolder(self.path / "shards" / name)

    def lock(self) -> FileLock:
        """Held for as long as a build works here; gone with its process. Raises `RunFolderError` where it is taken."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock")
            lock.acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"another build is at work in {self.path}; wait for it, or use another folder"
            ) from None
        except OSError as error:
            raise RunFolderError(f"keeping.output: cannot write {self.path}: {error}") from None
        return lock

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Make the folder that of these settings, or find that it is. Without a row it may still be made another's.

        Raises `RunFolderError` naming what changed.
        """
        wanted = json.loads(json.dumps(settings))
        before = read_json(self._settings)
        if before is not None and before != wanted and self.rows.is_file() and self.rows.stat().st_size:
            changed = sorted(k for k in {*before, *wanted} if before.get(k) != wanted.get(k))
            raise RunFolderError(
                f"{self.path} holds a build of other settings (changed: {', '.join(changed)}); "
                "set keeping.output to a new folder"
            )
        if before is None and self.rows.exists():
            raise RunFolderError(f"{self.path} holds rows but no settings.json; set keeping.output to a new folder")
        write_json(self._settings, wanted)

    def settings(self) -> dict[str, Any] | None:
        return read_json(self._settings)

    def report(self) -> dict[str, Any] | None:
        """build.json; None for a build that is not finished."""
        return read_json(self._report)

    def finish(self, report: Mapping[str, Any]) -> None:
        write_json(self._report, report)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    unfinished = file.with_name(file.name + ".unfinished")
    unfinished.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(unfinished, file)


def read_json(file: Path) -> dict[str, Any] | None:
    """None where the file is not there. Raises `RunFolderError` where it cannot be read."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{file} is not what was written there")
    return content
