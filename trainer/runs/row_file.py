"""The file that a build grows: one row per line, in order, each whole or not there at all.

Promises: a row that was written is never written again nor lost, whatever kills the process; what a kill or a full disk
leaves of a line is cut off; a file whose rows are not those of this corpus is refused rather than gone on with.

Not covered: two builds in one folder at once (`rewright.trainer.build.folder` holds a lock).
"""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rewright.trainer.errors import RunFolderError


class RowFile:
    """Open for appending; `rows` are in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = _cut_to_whole_lines(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def append(self, lines: Iterable[bytes]) -> None:
        """Add rows, and come back when they are on the disk. Raises `RunFolderError` where the disk refuses."""
        whole = os.fstat(self._file).st_size
        try:
            for line in lines:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self._file, rest) :]
                whole += len(line)
                self.rows += 1
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, whole)
            raise RunFolderError(
                f"cannot write {self.path}: {error.strerror}; its {self.rows} rows are whole and kept. "
                "Make room and run the same command again to go on from there"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)


def origins_in(path: Path, ids: Iterable[str]) -> Counter[str]:
    """How many whole rows of each origin the file has; their ids must be the first of `ids`, in order.

    Raises `RunFolderError`.
    """
    origins: Counter[str] = Counter()
    if not path.is_file():
        return origins
    wanted = iter(ids)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):
                break
            row = _parsed(line)
            expected = next(wanted, None)
            if row.get("id") != expected or expected is None:
                raise RunFolderError(
                    f"{path}, row {number}: its id is {row.get('id')!r}, that of the corpus is {expected!r}; "
                    "use a new folder"
                )
            origins[str(row.get("origin"))] += 1
    return origins


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _cut_to_whole_lines(path: Path) -> int:
    if not path.exists():
        return 0
    rows = whole = 0
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                rows += 1
                whole += len(line)
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    return rows
