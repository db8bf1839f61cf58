"""Groups and rewards as JSONL files: one group per line in, one `RewardGroup` per line out.

A line that is wrong is named by its number. A group without an id takes the number of its line as one (`line-7`), so
that a file scored in part can be taken up again. Texts are never repeated in messages.
"""

import codecs
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

if sys.platform != "win32":
    import fcntl

from pydantic import ConfigDict, ValidationError
from pydantic_core import from_json

from rewright.clients.transport.answers import finite_json
from rewright.clients.transport.batches import first_fix
from rewright.service.errors import InternalError, InvalidRequest
from rewright.service.schema import Group, GroupScores, RewardGroup, Rule

_OTHER_ENCODINGS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"\x00")
_OWN_BEGINNING = b'{"id":'


class RewardLine(RewardGroup):
    """One line of rewards. digest: of the group's content and the rule (`digest_of`); older lines have none."""

    model_config = ConfigDict(extra="ignore")

    digest: str | None = None


class DoneLine(NamedTuple):
    """What a rewards file says of one group. line: its number, from 1."""

    line: int
    digest: str | None


def digest_of(group: Group, rule: Rule) -> str:
    """The same for the same content and rule, whatever the group's id; what is left at its default does not enter, so
    that fields of later versions change nothing.
    """
    content = group.model_dump_json(exclude={"id"}, exclude_none=True)
    said = rule.model_dump_json(exclude_defaults=True)
    return hashlib.sha256(f"{content}\n{said}".encode()).hexdigest()[:32]


def numbered_groups(lines: BinaryIO, source: str, *, needs_reference: bool = True) -> Iterator[tuple[int, Group]]:
    """The groups of a JSONL stream with the numbers of their lines; blank lines and byte order marks of UTF-8 are
    passed over. needs_reference: also where a group has an answer, as every rule but that of reasoning off.

    Raises `InvalidRequest` naming the line for one that is no group, lacks a field, repeats an id, or is no UTF-8.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        content = line.removeprefix(codecs.BOM_UTF8)
        if not content.strip():
            continue
        try:
            group = Group.model_validate_json(content)
        except ValidationError as error:
            raise InvalidRequest(f"{source}, line {number}: {_not_utf8(content) or first_fix(error)}") from None
        needed = ("problem", "reference") if needs_reference or group.answer is None else ("problem",)
        missing = [field for field in needed if getattr(group, field) is None]
        if missing:
            raise InvalidRequest(f"{source}, line {number}: {missing[0]} is missing")
        name = group.id if group.id is not None else f"line-{number}"
        if name in seen:
            raise InvalidRequest(f"{source}, line {number}: the id is that of line {seen[name]}; ids must be unique")
        seen[name] = number
        yield number, group.model_copy(update={"id": name})


def groups_of(lines: BinaryIO, source: str) -> Iterator[Group]:
    """As `numbered_groups`, without the numbers."""
    return (group for _, group in numbered_groups(lines, source))


def _not_utf8(line: bytes) -> str | None:
    """What to do about a line in another encoding; None where it is UTF-8."""
    if line.startswith(_OTHER_ENCODINGS) or b"\x00" in line[:8]:
        return "this is UTF-16 or UTF-32, or no text at all; save the file as UTF-8 (iconv -f UTF-16 -t UTF-8)"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not UTF-8; save the file as UTF-8"
    return None


class RewardFile:
    """Rewards in a file, or on standard output (`path` None); each line is written whole, at once.

    A file belongs to one process at a time: another one that names it meanwhile gets `InvalidRequest`, as does one that
    cannot write there. Nothing is written to a file that holds anything else than rewards.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = 1
        if path is None:
            return
        if path.exists() and not path.is_file():
            raise InvalidRequest(f"{path} is no file; name one for the rewards")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise InvalidRequest(f"cannot write {path}: {error.strerror}") from None
        self._lock(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is not None:
            os.close(self._file)

    def done(self) -> dict[str, DoneLine]:
        """The groups that the file already holds, by id; empty for standard output.

        A last line without its end, as a killed run or a full disk may leave, is cut off. Raises `InvalidRequest` for a
        file that holds anything else than rewards.
        """
        found: dict[str, DoneLine] = {}
        if self._path is None:
            return found
        whole = 0
        torn = b""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    torn = line
                    break
                try:
                    reward = _reward_of(line)
                except ValueError:
                    raise self._foreign(number) from None
                found[reward.id] = DoneLine(number, reward.digest)
                whole += len(line)
        if torn:
            # Alone in its file it might be somebody else's only line.
            if not found and not _is_torn_reward(torn):
                raise self._foreign(1)
            os.ftruncate(self._file, whole)
        return found

    def write(self, group: GroupScores[Any], digest: str) -> None:
        """Append the group as one line, past all buffers.

        Raises `InternalError` for a line that could not be read again, `OSError` where writing fails (a full disk).
        """
        try:
            reward = RewardLine.model_validate({**group.model_dump(), "digest": digest})
            line = reward.model_dump_json().encode() + b"\n"
            _reward_of(line)
        except ValueError:
            raise InternalError(f"the reward of group {group.id!r} is none that could be read again") from None
        while line:
            line = line[os.write(self._file, line) :]

    def _lock(self, path: Path) -> None:
        if sys.platform == "win32":  # which has no flock
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InvalidRequest(
                f"another run is writing to {path}; wait until it has ended, or name another file"
            ) from None
        except OSError as error:
            print(f"{path} cannot be locked here ({error.strerror}): start no second run on it", file=sys.stderr)

    def _foreign(self, number: int) -> InvalidRequest:
        return InvalidRequest(
            f"{self._path}, line {number}, is no reward; name a file that this command wrote, or a new one"
        )


def _reward_of(line: bytes) -> RewardLine:
    """Raises `ValueError`, of which pydantic's is one."""
    return RewardLine.model_validate(finite_json(line))


def _is_torn_reward(line: bytes) -> bool:
    """Whether it may be the beginning of a line of ours, and no more than the beginning."""
    beginning = line.replace(b" ", b"")[: len(_OWN_BEGINNING)]
    try:
        from_json(line)
    except ValueError:
        return _OWN_BEGINNING.startswith(beginning)
    return False
