"""Prompts from files, which a user can replace: a shipped name, or a path of the user's own.

A prompt's places are `{{problem}}` and `{{solution}}`; they are filled in one pass, so that braces of LaTeX, and a
problem that happens to spell `{{solution}}`, stay what they are. A prompt is known by the hash of its text.

Not covered: the chat format, which belongs to the policy's tokenizer (`rewright.service.models.chat_format`).
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Self

from rewright.trainer.errors import RecipeError

_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Prompt:
    name: str
    text: str

    @classmethod
    def load(cls, name: str, *, places: Collection[str]) -> Self:
        """name: a shipped prompt or a file's path; places: exactly those that it must have.

        Raises `RecipeError` where the file cannot be read, or has other places.
        """
        shipped = resources.files("rewright.trainer.data").joinpath("prompt_files", f"{name}.txt")
        try:
            if re.fullmatch(r"[\w.-]+", name) and shipped.is_file():
                text = shipped.read_text(encoding="utf-8")
            else:
                text = Path(name).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"the prompt {name!r} is neither a shipped one nor a readable file: {error}") from None
        found = set(_PLACE.findall(text))
        if found != set(places):
            wanted = " and ".join("{{" + place + "}}" for place in sorted(places))
            raise RecipeError(f"the prompt {name!r} must have the places {wanted}; it has {sorted(found) or 'none'}")
        return cls(name, text.strip())

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, **texts: str) -> str:
        """The prompt with every place filled; the texts themselves are not searched for places."""
        return _PLACE.sub(lambda place: texts[place.group(1)], self.text)


def rewriting_prompt(name: str) -> Prompt:
    """x and y* in, a rewrite of y* out."""
    return Prompt.load(name, places={"problem", "solution"})
