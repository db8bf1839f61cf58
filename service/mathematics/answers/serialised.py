"""Serialised structures (JSON, YAML, INI, Python's own) and code: data, which states no answer, whatever it holds.

A policy could otherwise print every number that it can think of as `{"a": 41, "b": 42}` and be credited for one. What
stands in prose beside such a structure still counts, and so do sets, lists and intervals of mathematics, which hold no
keys, and equations on lines of their own. Every function here takes time linear in the text.
"""

import json
import re

_OBJECT = re.compile(r"""\{\s{0,100}(?:"[^"\n]{0,100}"|'[^'\n]{0,100}')\s{0,20}:""")
_FENCED = re.compile(
    r"```[ \t]*(?:json|ya?ml|toml|ini|xml|html|csv|python|py|javascript|typescript|js|ts|java|c|cpp|c\+\+|rust|go"
    r"|ruby|php|julia|matlab|sql|bash|sh)(?![\w+]).*?(?:```|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_FLOW = re.compile(
    r"\{\s*(?:[A-Za-z_]\w{1,100}+\s*:[^{}:]*|\w{1,100}+\s*:[^{}:,]*(?:,\s*\w{1,100}+\s*:[^{}:,]*)++),?\s*\}"
)
"""A mapping without quotes; of one key only where that is no single letter, which may be a set's: {x : x > 0}."""
_YAML_LINE = re.compile(
    r"[ \t]*(?:-[ \t]+)?[a-z_][a-z0-9_]*:(?:[ \t]+(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s:{}\[\]]+|[\[{][^\n]*[\]}]))?[ \t]*"
)
_YAML_ITEM = re.compile(r"[ \t]*-[ \t]+[^\s:]+[ \t]*")
_INI_LINE = re.compile(r"[ \t]*(?:\[[\w. -]{1,100}\]|[A-Za-z_][\w.-]*[ \t]*=[^\n]*)")
_PAIR = re.compile(r"[-*•]?\s*[A-Za-z_][\w ]{0,30}+[:=]\s*[-+]?[\w.$%/]{1,30}\s*(?:[A-Za-z]{1,12})?")
_BETWEEN_PAIRS = re.compile(r"[,;&\n]")
_SPACE = re.compile(r"\s+")
_ADDRESS = re.compile(r"\bhttps?://\S+|\bwww\.\S+")
_LONGEST_PAIRS = 2_000
_LIST = re.compile(r"\[\s*(?:[\"'{\[]|true\b|false\b|null\b|None\b|True\b|False\b)")


def without_data(text: str) -> str:
    """The text without its serialised structures; nothing is left of a text that is one as a whole."""
    if _is_lines(text) or _is_list(text) or _FLOW.fullmatch(text.strip()):
        return ""
    if "://" in text or "www." in text:
        text = _ADDRESS.sub(" ", text)
    if "```" in text:
        text = _FENCED.sub(" ", text)
    return _without_objects(text) if '":' in text or "':" in text or _OBJECT.search(text) else text


def named_values(text: str) -> list[str] | None:
    """The pairs of a text that is two plain values or more with their names, and nothing else: lines (`a = 1`), a list
    (`first: 41, second: 42`) or a query (`a=1&b=42`). They are one answer in several parts. None for other texts."""
    if len(text) > _LONGEST_PAIRS:
        return None
    stripped = text.strip().lstrip("?")
    between = _BETWEEN_PAIRS if _BETWEEN_PAIRS.search(stripped) else _SPACE
    if _PAIR.fullmatch(between.split(stripped, 1)[0].strip()) is None:
        return None
    pairs = [pair.strip() for pair in between.split(stripped) if pair.strip()]
    return pairs if len(pairs) > 1 and all(_PAIR.fullmatch(pair) for pair in pairs) else None


def _is_lines(text: str) -> bool:
    """Two lines or more of a file: keys of code with a short value or none and items under them, or a section."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and line.lstrip()[:2] not in ("--", "``", "# ")), "")
    if not first.startswith("[") and _YAML_LINE.fullmatch(first) is None:
        return False  # as nearly every text
    lines = [line for line in lines if line.strip() and line.strip() not in ("---", "```")]
    lines = [line for line in lines if not line.lstrip().startswith("# ")] if len(lines) > 2 else lines
    if len(lines) < 2:
        return False
    if lines[0].startswith("["):
        return all(_INI_LINE.fullmatch(line) for line in lines)
    keys = [_YAML_LINE.fullmatch(line) is not None for line in lines]
    return keys[0] and all(key or _YAML_ITEM.fullmatch(line) is not None for key, line in zip(keys, lines, strict=True))


def _is_list(text: str) -> bool:
    """A list of more than numbers, such as `["42"]`; a list of numbers is mathematics."""
    stripped = text.strip()
    if not (stripped.endswith("]") and _LIST.match(stripped)):
        return False
    try:
        return isinstance(json.loads(stripped), list)
    except (ValueError, RecursionError):
        return stripped[1:].lstrip()[:1] in "\"'"


def _without_objects(text: str) -> str:
    kept: list[str] = []
    end = 0
    while (found := _OBJECT.search(text, end)) is not None:
        kept.append(text[end : found.start()])
        end = _after_object(text, found.start())
    return " ".join([*kept, text[end:]])


def _after_object(text: str, start: int) -> int:
    """Behind the brace that closes the one at `start`, those in quoted strings not counted; the end where none does."""
    depth, quote, place = 0, "", start
    for place in range(start, len(text)):
        character = text[place]
        if quote:
            if character == quote and text[place - 1] != "\\":
                quote = ""
        elif character == '"':
            quote = character
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if depth == 0:
                return place + 1
    return len(text)
