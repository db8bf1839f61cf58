"""Two columns of text, aligned: what the commands report in."""

from collections.abc import Mapping, Sequence
from typing import TextIO

Row = tuple[str, object]


def print_table(rows: Sequence[Row], out: TextIO) -> None:
    """Print one line per row, names in one column and values in the other.

    Of a float four digits are shown, of a mapping its pairs, and "-" for None.
    """
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print(f"{name:<{width}}  {_shown(value)}", file=out)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(v)}" for key, v in value.items()) or "none"
    return str(value)
