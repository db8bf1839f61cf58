"""How a model is asked, as files beside it say: rendering.json beside what was trained, build.json beside a data set.

Promises: what was trained with other template arguments, another date or another end of turn is asked in the same way
by everything that comes after; a file that cannot be read is an error, never a default.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from rewright.service.models.rendering import Rendering
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.whole_files import write_json
from rewright.trainer.errors import BackboneError, CorpusError

FILE = "rendering.json"


class Asking(NamedTuple):
    """The prompt that a rewriter was trained with, and how its conversations are rendered."""

    prompt: Prompt
    rendering: Rendering


def write_rendering(folder: Path, rendering: Rendering, *, prompt: Prompt | None = None) -> None:
    """prompt: of a rewriter, so that it can be used where the recipe's files are not."""
    asked = {"prompt": {"name": prompt.name, "text": prompt.text}} if prompt is not None else {}
    write_json(folder / FILE, rendering.described() | asked)


def rendering_in(folder: Path) -> Rendering | None:
    """Of an adapter or model that was trained here; None for one from elsewhere. Raises `BackboneError`."""
    content = _content(folder / FILE)
    return None if content is None else _rendering(content, folder / FILE)


def asking_in(folder: Path) -> Asking | None:
    """Of a rewriter's adapter; None for one from elsewhere. Raises `BackboneError`."""
    content = _content(folder / FILE)
    if content is None or "prompt" not in content:
        return None
    try:
        prompt = Prompt(content["prompt"]["name"], content["prompt"]["text"])
    except (KeyError, TypeError) as error:
        raise _unreadable(folder / FILE, error) from None
    return Asking(prompt, _rendering(content, folder / FILE))


def rendering_of_dataset(dataset: Path) -> Rendering | None:
    """What `rewright build` rendered with, by the build.json beside its rows; None for rows from elsewhere, or where
    it does not say.

    Raises `CorpusError` where that file cannot be read.
    """
    file = dataset.parent / "build.json"
    if not file.is_file():
        return None
    try:
        template = json.loads(file.read_text(encoding="utf-8")).get("settings", {}).get("template")
        return Rendering.of_described(template) if template is not None else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{file} does not say how the data set was rendered ({error}); is its folder whole?"
        ) from None


def _content(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content: dict[str, Any] = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(file, error) from None
    return content


def _rendering(content: dict[str, Any], file: Path) -> Rendering:
    try:
        return Rendering.of_described(content)
    except ValueError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> BackboneError:
    return BackboneError(f"{file} cannot be read ({error}); is the folder whole?")
