"""Files that are whole or not there at all: written beside their place and renamed into it."""

import json
import os
from pathlib import Path
from typing import Any

from rewright.trainer.errors import RunFolderError

UNFINISHED = ".unfinished"


def write_text(file: Path, text: str) -> None:
    """Whole or not at all."""
    unfinished = file.with_name(file.name + UNFINISHED)
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, file)


def write_json(file: Path, content: Any) -> None:
    """Whole or not at all."""
    write_text(file, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


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
