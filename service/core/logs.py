"""Logs as JSON lines on stderr, each with its request's id.

Lines at the default level hold ids, codes, counts and times; never a text, a key or a traceback, since frames and
messages of exceptions may quote either. Tracebacks are written at the level `debug`.
"""

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from rewright.service.core.request_context import request_id


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
            "message": record.getMessage(),
        }
        if (current := request_id.get()) is not None:
            line["request_id"] = current
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = (
                self.formatException(record.exc_info) if self._tracebacks else exception_location(record.exc_info[1])
            )
        return json.dumps(line, ensure_ascii=False)


def log_as_json(level: str) -> None:
    """Send every log of the process to stderr, one JSON object per line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(tracebacks=level == "debug"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "sentence_transformers", "transformers", "urllib3", "opentelemetry"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
