"""Groups and rewards as JSONL files: one group per line in, one `RewardGroup` per line out.

A line that is wrong is named by its number. A group without an id takes the number of its line as one (`line-7`), so
that a file scored in part can be taken up again. Texts are never repeated in messages.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from pydantic import ValidationError

from rewright.clients.transport.batches import first_fix
from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group, GroupScores, RewardGroup

NEEDED = ("problem", "reference")
"""What /v1/reward needs in every group."""


def groups_of(lines: BinaryIO, source: str) -> Iterator[Group]:
    """The groups of a JSONL stream; blank lines are passed over.

    Raises `InvalidRequest` naming the line for one that is no group, lacks a field or repeats an id.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            group = Group.model_validate_json(line)
        except ValidationError as error:
            raise InvalidRequest(f"{source}, line {number}: {first_fix(error)}") from None
        missing = [field for field in NEEDED if getattr(group, field) is None]
        if missing:
            raise InvalidRequest(f"{source}, line {number}: {missing[0]} is missing")
        name = group.id if group.id is not None else f"line-{number}"
        if name in seen:
            raise InvalidRequest(f"{source}, line {number}: the id is that of line {seen[name]}; ids must be unique")
        seen[name] = number
        yield group.model_copy(update={"id": name})


def scored_ids(path: Path) -> set[str]:
    """Ids of the groups that a rewards file already holds.

    A last line without its end, as a killed run on a full disk may leave, is cut off. Raises `InvalidRequest` for a
    file that holds anything else than rewards, so that none is spoilt.
    """
    if not path.exists():
        return set()
    if not path.is_file():
        raise InvalidRequest(f"{path} is no file; name one for the rewards")
    ids: set[str] = set()
    whole = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                ids.add(RewardGroup.model_validate_json(line).id)
            except ValidationError:
                raise InvalidRequest(
                    f"{path}, line {number}, is no reward; name a file that this command wrote, or a new one"
                ) from None
            whole += len(line)
    if whole < path.stat().st_size:
        if whole == 0 and not ids:
            raise InvalidRequest(f"{path} exists and holds no rewards; name another file")
        os.truncate(path, whole)
    return ids


class RewardLines:
    """Appends rewards to a file, or to standard output (`path` None); each line is written whole, at once."""

    def __init__(self, path: Path | None) -> None:
        self._owned = path is not None
        try:
            self._file = 1 if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._owned:
            os.close(self._file)

    def write(self, group: GroupScores[Any]) -> None:
        """Append the group as one line, past all buffers. Raises `OSError` where that fails, on a full disk say."""
        line = group.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(self._file, line) :]
