"""A text, or chat messages in its place, of which the last assistant message is the text."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def last_assistant_text(value: Any) -> Any:
    """The text of messages: of the last one by the assistant, "" where there is none. Anything else is left alone."""
    if not isinstance(value, list) or not value:
        return value
    for message in reversed(value):
        if not isinstance(message, dict):
            return value
        if message.get("role") == "assistant":
            return _content(message.get("content"))
    return ""


def _content(content: Any) -> Any:
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") or "" for part in content if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(parts) if all(isinstance(part, str) for part in parts) else content


Text = Annotated[str, BeforeValidator(last_assistant_text)]
