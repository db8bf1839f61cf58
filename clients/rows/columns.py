"""A value within a row by its dotted path: `reward_model.ground_truth`, `generations.0`, `label.steps.-1.text`.

A column of the whole name comes first. A text that holds a JSON object or list is opened where the path goes on in it.
"""

import json
from collections.abc import Mapping
from typing import Any


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """None where the path leads nowhere."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.removeprefix("-").isdecimal():
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def has_column(row: Mapping[str, Any], path: str) -> bool:
    """Whether the row has the path's column, whatever stands in it."""
    return path in row or path.partition(".")[0] in row
