"""Logs as JSON lines on stderr, each with its request's id.

Lines hold ids, codes, counts and times; at no level a text or a key. Of an exception the type and the place are
written, at the level `debug` every frame, and never its message, which may quote a text. What looks like a secret in a
message is hidden (`rewright.service.core.redaction`).
"""

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from rewright.service.core.redaction import redacted_text
from rewright.service.core.request_context import request_id


def exception_frames(error: BaseException) -> str:
    """The frames of the exception and of those that caused it, with their types and without their messages."""
    told: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.StackSummary.from_list(traceback.extract_tb(current.__traceback__)).format())
        told.insert(0, f"{frames}{type(current).__name__}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\n\nfollowed by\n\n".join(told)


def exception_location(error: BaseException) -> str:
    """The exception's type and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return type(error).__name__ + where


class _JsonLines(logging.Formatter):
    def __init__(self, *, tracebacks: bool) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = (
                exception_frames(record.exc_info[1]) if self._tracebacks else exception_location(record.exc_info[1])
            )
        return json.dumps(line, ensure_ascii=False)


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    if record.name == "asyncio":
        # Behind its first line asyncio shows a future, and with it the message of an exception.
        message = message.partition("\n")[0]
    return redacted_text(message)


def log_as_json(level: str) -> None:
    """Send every log of the process to stderr, one JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(tracebacks=level == "debug"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "sentence_transformers", "transformers", "urllib3", "opentelemetry"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
