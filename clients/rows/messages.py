"""Conversations, as chat templates (`role`, `content`) and ShareGPT (`from`, `value`) write them, as messages.

Promises: nobody's turn is given to somebody else; a role that is unknown, a content that is no text and a turn with
tool calls are said, never dropped.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

_ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "function_call": "tool",
    "tool_call": "tool", "tool_response": "tool",
}  # fmt: skip


class Message(NamedTuple):
    """role: user, assistant, system or tool."""

    role: str
    content: str


class Conversation(NamedTuple):
    """reason: why there are none, else None."""

    messages: tuple[Message, ...]
    reason: str | None


class Exchange(NamedTuple):
    """The last user turn and the last assistant turn of a conversation of one question; reason: why there is none."""

    problem: str
    solution: str
    reason: str | None


def turns_of(value: Any) -> list[Any] | None:
    """The turns where the value is a list of messages, well made or not, or a text that spells one; else None."""
    if isinstance(value, str) and value.lstrip().startswith("[{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if not isinstance(value, list | tuple) or not value:
        return None
    return (
        list(value) if all(isinstance(turn, Mapping) and ({"role", "from"} & turn.keys()) for turn in value) else None
    )


def are_messages(value: Any) -> bool:
    """Whether `turns_of` finds any."""
    return turns_of(value) is not None


def conversation_of(value: Any) -> Conversation:
    """Reasons: `no_messages`, `unknown_role`, `not_text` (a picture, null), `tool_turns`."""
    turns = turns_of(value)
    if turns is None:
        return Conversation((), "no_messages")
    messages = []
    for turn in turns:
        role = _ROLES.get(str(turn.get("role", turn.get("from"))).lower())
        if role is None:
            return Conversation((), "unknown_role")
        if turn.get("tool_calls") or turn.get("function_call") or role == "tool":
            return Conversation((), "tool_turns")
        content = _text(turn.get("content", turn.get("value")))
        if content is None:
            return Conversation((), "not_text")
        messages.append(Message(role, content))
    return Conversation(tuple(messages), None)


def exchange_of(value: Any) -> Exchange:
    """As `conversation_of`, and `several_turns`, `no_turns` (nobody asks), `empty` (nobody answers)."""
    messages, reason = conversation_of(value)
    if reason:
        return Exchange("", "", reason)
    users = [m.content for m in messages if m.role == "user"]
    if len(users) != 1:
        return Exchange("", "", "several_turns" if users else "no_turns")
    answers = [m.content for m in messages if m.role == "assistant"]
    if len(answers) > 1:
        return Exchange("", "", "several_turns")
    return Exchange(users[0], answers[0] if answers and messages[-1].role == "assistant" else "", None)


def _text(content: Any) -> str | None:
    """A list of parts, as newer templates have it, is one text where all parts are texts."""
    if isinstance(content, str):
        return content
    if (
        isinstance(content, list)
        and content
        and all(isinstance(p, Mapping) and p.get("type") == "text" for p in content)
    ):
        texts = [p.get("text") for p in content]
        return "".join(texts) if all(isinstance(t, str) for t in texts) else None
    return None
