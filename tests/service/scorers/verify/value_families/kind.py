"""What a kind of answer is: pairs that are right, and near misses."""

from typing import NamedTuple


class Kind(NamedTuple):
    """`right` pairs are credited, `wrong` ones are not."""

    right: list[tuple[str, str]]
    wrong: list[tuple[str, str]]
