"""The folder that a run writes into: one process at a time, one run forever, files whole or not there at all.

    .lock           held for as long as a process works here; the kernel frees it, however the process ends
    .holder.json    who holds it (process, machine, since when), for the message to somebody who comes second

Promises: a second process is refused at once, in words that name the first; a folder that holds somebody's other files
stays as it was, without a lock in it; what `write_text` and `write_json` write is never seen half written.

Not covered: whose settings a folder may go on with, which each kind of run says for itself; file systems without
locks.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock, Timeout

from rewright.trainer.data.whole_files import UNFINISHED, read_json, write_json
from rewright.trainer.errors import RunFolderError

_LOCK, _HOLDER = ".lock", ".holder.json"


class ClaimedFolder:
    """A folder of one kind of run; subclasses say which."""

    kind: ClassVar[str]
    """What works in it, for messages: "another {kind} is at work"."""
    setting: ClassVar[str]
    """The recipe's key of the folder."""
    record: ClassVar[str]
    """The file that says what the folder belongs to."""
    alone: ClassVar[bool] = True
    """Whether a folder without a record must be empty."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder, which is made where it is not there.

        Raises `RunFolderError` where another process holds it, where it holds other files and no run, and where it
        cannot be written.
        """
        self._refuse_other_files()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path / _LOCK).acquire(timeout=0)
        except Timeout:
            raise RunFolderError(
                f"another {self.kind} is at work in {self.path}{self._holder()}; wait until it ends, or set "
                f"{self.setting} to another folder"
            ) from None
        except OSError as error:
            raise self._cannot_write(error) from None
        with held:
            try:
                write_json(self.path / _HOLDER, _this_process())
            except OSError as error:
                raise self._cannot_write(error) from None
            try:
                yield
            finally:
                (self.path / _HOLDER).unlink(missing_ok=True)

    def claim_settings(self, settings: Mapping[str, Any], *, may_change: bool = False) -> None:
        """Make the folder that of these settings (its record, JSON), or find that it is already.

        may_change: nothing depends on the settings yet, so that others may replace them. Raises `RunFolderError` naming
        what differs.
        """
        wanted = json.loads(json.dumps(settings))
        before = read_json(self.path / self.record)
        if before is not None and before != wanted and not may_change:
            changed = sorted(k for k in {*before, *wanted} if before.get(k) != wanted.get(k))
            raise RunFolderError(
                f"{self.path} holds {_a(self.kind)} of other settings (changed: {', '.join(changed)}); "
                f"set {self.setting} to a new folder"
            )
        if before == wanted:
            return
        try:
            write_json(self.path / self.record, wanted)
        except OSError as error:
            raise self._cannot_write(error) from None

    def _refuse_other_files(self) -> None:
        if not self.alone or not self.path.exists() or (self.path / self.record).is_file():
            return
        # What a process leaves that was killed while it made the folder.
        ours = (_LOCK, _HOLDER, self.record)
        if not self.path.is_dir() or any(f.name.removesuffix(UNFINISHED) not in ours for f in self.path.iterdir()):
            raise RunFolderError(f"{self.path} is there and holds no {self.kind}; set {self.setting} to a new folder")

    def _holder(self) -> str:
        try:
            holder = json.loads((self.path / _HOLDER).read_text(encoding="utf-8"))
            return f" (process {holder['process']} on {holder['machine']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return ""  # it has only just begun, or cannot be read from here

    def _cannot_write(self, error: OSError) -> RunFolderError:
        return RunFolderError(f"{self.setting}: cannot write {self.path}: {error}")


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _this_process() -> dict[str, Any]:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    return {"process": os.getpid(), "machine": socket.gethostname(), "since": since}
