"""The runs that a report is made of, found by what they left in their folders.

    build       build.json               sft        loss.json, and origin.json of what was trained
    evaluation  results.json             rewriter   recipe.yaml of kind grpo, and adapter/

Promises: a folder may be a run, or hold runs at any depth; a run that is not finished is passed over and named; a shard
of a build is no build of its own.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewright.trainer.errors import RunFolderError
from rewright.trainer.runs.loss_curve import JSON, Curve
from rewright.trainer.runs.provenance import FILE


@dataclass(frozen=True)
class Run:
    """origin: method (None for a base model), variant, group_size, success_only; backbone: π0's name."""

    folder: Path
    backbone: str
    origin: dict[str, Any]
    content: dict[str, Any] = field(default_factory=dict)
    curve: Curve = field(default_factory=list)

    @property
    def method(self) -> str:
        """`other` for a model that was trained on a dataset from elsewhere."""
        return str(self.origin.get("method") or "other") if self.origin else "base"

    @property
    def variant(self) -> str:
        return str(self.origin.get("variant") or "full")

    @property
    def group_size(self) -> int | None:
        return self.origin.get("group_size")

    @property
    def success_only(self) -> bool:
        return bool(self.origin.get("success_only"))

    @property
    def is_main(self) -> bool:
        """One of the rows of the paper's Tables 1 and 6: with fallback, and the agent with the full reward."""
        return not self.success_only and self.variant == "full"


@dataclass(frozen=True)
class Runs:
    builds: list[Run]
    trainings: list[Run]
    evaluations: list[Run]
    unfinished: list[Path]

    def backbones(self) -> list[str]:
        return sorted({run.backbone for run in (*self.builds, *self.trainings, *self.evaluations)})


def find_runs(folders: Iterable[Path]) -> Runs:
    """Raises `RunFolderError` for a folder that is not there, a file that cannot be read, and where no run is found."""
    builds: list[Run] = []
    trainings: list[Run] = []
    evaluations: list[Run] = []
    unfinished: list[Path] = []
    given = list(folders)
    for folder in given:
        if not folder.is_dir():
            raise RunFolderError(f"there is no folder {str(folder)!r}")
    for folder in _all_folders(given):
        if (folder / "build.json").is_file():
            builds.append(_build(folder, _json(folder / "build.json")))
        elif (folder / "results.json").is_file():
            evaluations.append(_evaluation(folder, _json(folder / "results.json")))
        elif (folder / JSON).is_file():
            trainings.append(_training(folder))
        elif any((folder / name).is_file() for name in ("rows.jsonl", "generations.jsonl")):
            unfinished.append(folder)
    if not (builds or trainings or evaluations):
        raise RunFolderError(
            f"no finished build, SFT run or evaluation in {', '.join(map(str, given))}; name the folders that "
            "`rewright build`, `train sft` and `evaluate` wrote, or one that holds them"
        )
    return Runs(builds, trainings, evaluations, unfinished)


def _all_folders(given: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in given:
        below = sorted(
            path for path in folder.rglob("*") if path.is_dir() and "shards" not in path.relative_to(folder).parts
        )
        for path in (folder, *below):
            found.setdefault(path.resolve(), None)
    return list(found)


def _build(folder: Path, content: dict[str, Any]) -> Run:
    origin = {
        "method": content["method"],
        "success_only": content["success_only"],
        **(content.get("rewriter") or {}),
    }
    return Run(folder, str(content["provenance"]["backbone"]["model"]), origin, content)


def _evaluation(folder: Path, content: dict[str, Any]) -> Run:
    origin = content["origin"]
    backbone = origin["backbone"]["model"] if origin else content["backbone"]
    return Run(folder, str(backbone), origin, content)


def _training(folder: Path) -> Run:
    trained = next((folder / name for name in ("adapter", "model") if (folder / name / FILE).is_file()), None)
    origin = _json(trained / FILE) if trained is not None else {}
    curve = json.loads((folder / JSON).read_text(encoding="utf-8"))
    backbone = origin.get("backbone", {}).get("model", "?")
    return Run(folder, str(backbone), origin, curve=curve)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{file} is not what was written there")
    return content
