"""Recipes as YAML files: read one by path or by a shipped name, lay `key=value` overrides over it, parse it.

Promises: the same words for every kind of recipe; each wrong key is named with its place; a shipped recipe is found by
its file's name, whose first word is its kind (`grpo-paper`, `sft-paper`). No torch here.

Not covered: what the keys mean (the pydantic models of `rewright.trainer.recipes.grpo` and its siblings).
"""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from rewright.trainer.errors import RecipeError

Recipe = TypeVar("Recipe", bound=BaseModel)


def shipped(kind: str) -> tuple[str, ...]:
    """Names of the recipes of a kind that come with the trainer."""
    files = (Path(file.name) for file in resources.files("rewright.trainer.recipes").iterdir())
    return tuple(sorted(file.stem for file in files if file.suffix == ".yaml" and file.stem.split("-")[0] == kind))


def read_recipe(
    model: type[Recipe], source: str | Path, overrides: Sequence[str] = (), *, kind: str | None = None
) -> Recipe:
    """A recipe of the given model from a YAML file or a shipped name. kind: default the model's own `kind`.

    overrides: `key=value`, dotted keys, YAML values. Raises `RecipeError` naming every wrong key.
    """
    content = _read(str(source), shipped(kind or str(model.model_fields["kind"].default)))
    for override in overrides:
        _override(content, override)
    return parse_recipe(model, content, source=str(source))


def parse_recipe(model: type[Recipe], content: dict[str, Any], *, source: str) -> Recipe:
    """Raises `RecipeError` naming every wrong key."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [f"  {_place(e['loc'])}: {e['msg']}" for e in error.errors(include_url=False, include_input=False)]
        raise RecipeError(f"{source}: the recipe is wrong:\n" + "\n".join(lines)) from None


def as_yaml(recipe: BaseModel) -> str:
    return yaml.safe_dump(json.loads(recipe.model_dump_json()), sort_keys=False, allow_unicode=True)


def _read(source: str, known: Sequence[str]) -> dict[str, Any]:
    path = Path(source).expanduser()
    try:
        if source in known:
            text = resources.files("rewright.trainer.recipes").joinpath(f"{source}.yaml").read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except FileNotFoundError:
        raise RecipeError(f"there is no recipe {source!r}; give a YAML file or one of {', '.join(known)}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{source}: cannot read the recipe: {error}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{source}: a recipe is a mapping of blocks (backbone, corpus, …)")
    try:
        own: dict[str, Any] = _own(content)
    except RecursionError:
        raise RecipeError(f"{source}: a block of the recipe holds itself by an alias; write it out") from None
    return own


def _own(content: Any) -> Any:
    """A copy in which every place has a block of its own: aliases of one anchor are one object, and to override a key
    in one of them would change it in all."""
    if isinstance(content, dict):
        return {key: _own(value) for key, value in content.items()}
    return [_own(value) for value in content] if isinstance(content, list) else content


def _override(content: dict[str, Any], override: str) -> None:
    key, sign, value = override.partition("=")
    if not sign or not key:
        raise RecipeError(f"--set {override}: write it as key=value, for instance training.group_size=4")
    *path, last = key.split(".")
    block: Any = content
    for part in path:
        block = _step(block, part, override)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: the value is no YAML") from None
    if isinstance(block, list):
        block[_index(block, last, override)] = parsed
    else:
        block[last] = parsed


def _step(block: Any, part: str, override: str) -> Any:
    if isinstance(block, list):
        return block[_index(block, part, override)]
    below = block.setdefault(part, {})
    if not isinstance(below, dict | list):
        raise RecipeError(f"--set {override}: {part} is no block")
    return below


def _index(block: list[Any], part: str, override: str) -> int:
    if not part.isdecimal() or int(part) >= len(block):
        raise RecipeError(f"--set {override}: {part!r} is no place in a list of {len(block)}; count from 0")
    return int(part)


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in loc) or "recipe"
