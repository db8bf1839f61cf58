"""What a trained model comes from, in a few words that follow it: from the build to SFT, evaluation and report.

    origin.json beside a model: {"backbone", "method", "variant", "group_size", "success_only", "data", …}

A model without one is a base model or somebody else's: its method is None, and a report says "base" or its name.
"""

import json
from pathlib import Path
from typing import Any

from rewright.trainer.data.whole_files import write_json
from rewright.trainer.errors import CorpusError

FILE = "origin.json"


def build_origin(dataset: Path) -> dict[str, Any]:
    """What build.json beside a dataset says of it; only its name for a dataset from elsewhere."""
    said = _json(dataset.parent / "build.json")
    told = said.get("rewriter")
    rewriter: dict[str, Any] = told if isinstance(told, dict) else {}
    return {
        "dataset": dataset.name,
        "method": said.get("method"),
        "success_only": bool(said.get("success_only", False)),
        "variant": said.get("variant", rewriter.get("variant")),
        "group_size": said.get("group_size", rewriter.get("group_size")),
        "yield": said.get("yield"),
    }


def write_origin(folder: Path, origin: dict[str, Any]) -> None:
    write_json(folder / FILE, origin)


def origin_of(model: str | Path) -> dict[str, Any]:
    """Of a trained model's folder; empty for a hub name, a file, or a folder without one."""
    return _json(Path(model).expanduser() / FILE)


def _json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorpusError(f"{file} cannot be read: {error}") from None
    return content if isinstance(content, dict) else {}
