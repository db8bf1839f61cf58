"""Shards of one build, put together to what one machine would have made: the same rows in the same order.

Promises: nothing is merged unless every shard is there, finished, of the same settings, and holds as many rows as its
part of the corpus has samples; shards are read one row after another and stay as they are.

Not covered: bringing the shards' folders onto one machine.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewright.trainer.build.finish import Facts, finish
from rewright.trainer.build.folder import BuildFolder
from rewright.trainer.errors import RunFolderError
from rewright.trainer.recipes.build import Shard
from rewright.trainer.runs.row_file import RowFile

_OF_EACH = {"shard"}


def merge(path: Path) -> Path:
    """Merge `path`/shards into `path`; the dataset's file. Raises `RunFolderError` for what is missing or unlike."""
    folder = BuildFolder(path)
    with folder.lock():
        shards = _shards(folder)
        reports = [_report(shard) for shard in shards]
        first = reports[0]
        settings = {**first["settings"], "shard": None}
        folder.claim(settings)
        _rows(folder, shards, reports)
        facts = Facts(
            method=first["method"],
            success_only=first["success_only"],
            format=first["settings"]["format"],
            rewriter=first["rewriter"],
            samples=sum(report["samples"] for report in reports),
            left_out=first["left_out"],
            settings=settings,
            provenance=first["provenance"],
            diversity=_diversity(reports),
            session=_session(reports),
        )
        return finish(folder, facts)


def _shards(folder: BuildFolder) -> list[BuildFolder]:
    """In order. Raises `RunFolderError` naming those that are not there."""
    found = sorted((folder.path / "shards").glob("*-of-*"))
    counts = {name.name.rpartition("-of-")[2] for name in found}
    if not found:
        raise RunFolderError(f"{folder.path / 'shards'} holds no shards; build them with --shard i/n")
    if len(counts) > 1 or not next(iter(counts)).isdecimal():
        raise RunFolderError(f"{folder.path / 'shards'} holds shards of several divisions: {', '.join(sorted(counts))}")
    count = int(next(iter(counts)))
    shards = [folder.shard(Shard(index, count).folder) for index in range(count)]
    missing = [shard.path.name for shard in shards if not shard.path.is_dir()]
    if missing:
        raise RunFolderError(f"of {count} shards these are not there: {', '.join(missing)}")
    unlike = [s.path.name for s in shards if _comparable(s) != _comparable(shards[0])]
    if unlike:
        raise RunFolderError(
            f"shards of unlike settings cannot be merged: {', '.join(unlike)} differ from {shards[0].path.name} "
            f"(compare their settings.json)"
        )
    return shards


def _comparable(shard: BuildFolder) -> dict[str, Any]:
    return {key: value for key, value in (shard.settings() or {}).items() if key not in _OF_EACH}


def _report(shard: BuildFolder) -> dict[str, Any]:
    report = shard.report()
    if report is None:
        raise RunFolderError(f"shard {shard.path.name} is not finished; run its command again")
    return report


def _rows(folder: BuildFolder, shards: Sequence[BuildFolder], reports: Sequence[dict[str, Any]]) -> None:
    expected = int(reports[0]["settings"]["corpus"]["samples"])
    held = sum(report["samples"] for report in reports)
    if held != expected:
        raise RunFolderError(f"the shards hold {held} of the corpus's {expected} samples; were they built from it?")
    # A merge that was cut short is done anew: its rows are copies.
    folder.rows.unlink(missing_ok=True)
    with RowFile(folder.rows) as out:
        for shard, report in zip(shards, reports, strict=True):
            before = out.rows
            with shard.rows.open("rb") as lines:
                out.append(line for line in lines if line.endswith(b"\n"))
            if out.rows - before != report["samples"]:
                raise RunFolderError(
                    f"shard {shard.path.name} holds {out.rows - before} rows for {report['samples']} samples; "
                    "run its command again"
                )


def _session(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Seconds of all machines together, and the busy seconds within them."""
    busy = {
        f"{who}_busy_s": math.fsum((report[f"{who}_busy"] or 0.0) * report["seconds"] for report in reports)
        for who in ("generator", "service")
    }
    rows = sum(report["rows_of_last_run"] for report in reports)
    return {"rows": rows, "seconds": math.fsum(report["seconds"] for report in reports), **busy}


def _diversity(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means of the shards' own, weighted by the texts that each was computed over."""
    found: dict[str, Any] = {"texts": sum(report["diversity"]["texts"] for report in reports)}
    for which in ("references", "completions"):
        known = [(r["diversity"][which], r["diversity"]["texts"]) for r in reports if r["diversity"][which] is not None]
        texts = sum(weight for _, weight in known)
        found[which] = math.fsum(value * weight for value, weight in known) / texts if texts else None
    return found
