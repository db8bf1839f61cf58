"""Who may call: bearer keys from the settings and from a file that may change while the process runs.

The file holds one key per line; blank lines and lines that begin with # are passed over. It is read again when it
changes, so keys rotate without a restart: add the new one, move the callers over, take the old one out. Keys are
compared in constant time and never logged. A key is what an HTTP header can carry and a caller cannot send by accident:
an empty one, or a file that is no plain text, is an error at the start.
"""

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from rewright.service.errors import SettingsError, Unauthorized

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0


class Keys:
    """The keys that are valid now. Raises `SettingsError` when the file cannot be read at the start or holds none."""

    def __init__(self, given: Sequence[SecretStr], file: Path | None) -> None:
        self._given = [key.get_secret_value().encode() for key in given]
        for place, key in enumerate(self._given):
            if not _can_be_sent(key):
                raise SettingsError(
                    f"api_keys: key number {place + 1} is empty, or holds what no HTTP header can carry"
                )
        self._file = file
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._from_file: list[bytes] = []
        if file is not None:
            try:
                self._read(file)
            except (OSError, ValueError) as error:
                raise SettingsError(f"api_keys_file: {error}") from None

    def now(self) -> list[bytes]:
        if self._file is not None and time.monotonic() - self._looked >= LOOK_EVERY_S:
            try:
                self._read(self._file)
            except (OSError, ValueError) as error:
                # A file that vanishes for a moment must neither lock everybody out nor let everybody in.
                log.error("api_keys_file cannot be read, its former keys stay valid: %s", type(error).__name__)
        return self._given + self._from_file

    def _read(self, file: Path) -> None:
        self._looked = time.monotonic()
        status = file.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return
        keys = []
        for number, line in enumerate(_text_of(file).splitlines(), start=1):
            key = line.strip().encode()
            if not key or key.startswith(b"#"):
                continue
            if not _can_be_sent(key):
                raise ValueError(f"{file}, line {number}, holds what no HTTP header can carry")
            keys.append(key)
        if not keys:
            raise ValueError(f"{file} holds no key; write one per line")
        self._from_file, self._stamp = keys, stamp


def _text_of(file: Path) -> str:
    """Raises `ValueError` for a file of another encoding, whose keys nobody could send."""
    content = file.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise ValueError(f"{file} is not UTF-8 text; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _can_be_sent(key: bytes) -> bool:
    """As the token of a bearer header: visible ASCII, nothing else."""
    return bool(key) and all(0x21 <= byte <= 0x7E for byte in key)


def caller_with(keys: Keys) -> Callable[..., Awaitable[None]]:
    """A dependency that raises `Unauthorized` unless the request bears a valid key, or none is needed."""
    bearer = HTTPBearer(auto_error=False, description="A key of REWRIGHT_API_KEYS; not needed where none is set.")

    async def authorised(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        valid = keys.now()
        if not valid:
            return
        offered = given.credentials.encode() if given is not None else b""
        # Every key is compared, in constant time, so that timing tells neither which nor how much of one fits.
        if sum(hmac.compare_digest(offered, key) for key in valid) == 0:
            raise Unauthorized("send a valid key as 'Authorization: Bearer <key>'")

    return authorised
