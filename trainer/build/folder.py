"""The folder of a build: whose it is, how far it got, and what is found in it afterwards.

    settings.json       what the rows depend on      corpus/       stage_one, stage_two, report (unless one was given)
    rows.jsonl          every row, growing in order  build.json    what came out; written last
    dataset.jsonl, .parquet   what SFT trains on     llamafactory/ the same for LLaMA-Factory
    README.md, plots/   the dataset card             shards/i-of-n one such folder per shard

Promises: a folder goes on with the build that it was made for and with no other; one process works in it at a time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewright.trainer.data.whole_files import read_json, write_json
from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.claimed_folder import ClaimedFolder


class BuildFolder(ClaimedFolder):
    kind = "build"
    setting = "keeping.output"
    record = "settings.json"
    alone = False  # a folder of shards, or of a corpus, becomes that of a build

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rows = path / "rows.jsonl"
        self.corpus = path / "corpus"
        self.plots = path / "plots"
        self.card = path / "README.md"
        self.llama_factory = path / "llamafactory"
        self._report = path / "build.json"

    def dataset(self, format: str) -> Path:
        return self.path / f"dataset.{format}"

    def shard(self, name: str) -> "BuildFolder":
        return BuildFolder(self.path / "shards" / name)

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Make the folder that of these settings, or find that it is. Without a row it may still be made another's.

        Raises `RunFolderError` naming what changed.
        """
        if self.settings() is None and self.rows.exists():
            raise RunFolderError(f"{self.path} holds rows but no settings.json; set keeping.output to a new folder")
        self.claim_settings(settings, may_change=not self.rows.is_file() or not self.rows.stat().st_size)

    def settings(self) -> dict[str, Any] | None:
        return read_json(self.path / self.record)

    def report(self) -> dict[str, Any] | None:
        """build.json; None for a build that is not finished."""
        return read_json(self._report)

    def finish(self, report: Mapping[str, Any]) -> None:
        write_json(self._report, report)
