"""What service and trainer assume of π0 unless a setting says otherwise. Light: settings and recipes import it."""

from typing import Any

EMBEDDED = "embedded"
"""The model name that means the one which comes as a package."""

TEMPLATE_DATE = "2025-01-01"
"""The date that chat templates which print today's are given (ISO), so that a score does not change overnight."""

TEMPLATE_ARGS: dict[str, Any] = {"enable_thinking": False}
"""Pinned variables of chat templates; those that do not know one pass over it."""
