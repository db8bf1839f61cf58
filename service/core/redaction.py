"""What must not be shown: keys and passwords, wherever settings, descriptions or messages may hold them.

Promises: of every URL the user, the password, the values of its query and its fragment are hidden; of every mapping,
at any depth, the values under names such as `token`, `api_key`, `password` or `Authorization`; and what follows
`Bearer` or `token=`. Hiding too much is no harm, so a name that only may be a secret's counts. Linear in the text.
Not covered: a secret in a URL's path, or under a name that does not look like one's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"

_SECRETS = frozenset(
    ("key", "passphrase", "pwd", "pass", "authorization", "auth", "bearer", "cookie", "signature", "sig", "jwt")
)
_SECRET_ENDINGS = ("token", "apikey", "password", "passwd", "secret", "credential")
_PLACES = frozenset(("file", "path", "folder", "dir"))
"""`api_keys_file` says where keys are and is none."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*:/+)(\S+)")
"""With one slash as well: so much is left of a URL that went through a file's path."""
_QUERY = re.compile(r"[?#]")
_PATH_WITH_QUERY = re.compile(r"(?<!\S)([^\s?]*/[^\s?]*\?)(\S+)")
_SCHEME = re.compile(r"\b(bearer|basic)\s+\S+", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?<![\w-])([\w-]+)=(?!\s)(\S+)")


def redacted(value: Any) -> Any:
    """The same, with what must not be shown hidden, at any depth. Tuples and sets become lists."""
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _is_secret(str(name), content) else redacted(content) for name, content in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(each) for each in value]
    return value


def redacted_text(text: str) -> str:
    """A message or a setting with its URLs and assignments redacted."""
    if ":/" in text:
        text = _URL.sub(lambda found: found[1] + _without_secrets(found[2]), text)
    if "?" in text:
        text = _PATH_WITH_QUERY.sub(lambda found: found[1] + _names(found[2]), text)
    text = _SCHEME.sub(rf"\1 {HIDDEN}", text)
    if "=" in text:
        text = _ASSIGNED.sub(lambda found: f"{found[1]}={HIDDEN}" if _is_secret(found[1], "") else found[0], text)
    return text


def secrets_in(value: Any) -> Iterator[str]:
    """The texts that `redacted` hides because of their names: to take them out of somebody else's message."""
    if isinstance(value, Mapping):
        for name, content in value.items():
            yield from _texts(content) if _is_secret(str(name), content) else secrets_in(content)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from secrets_in(each)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _texts(each)
    elif value is not None and str(value):
        yield str(value)


def _is_secret(name: str, content: Any) -> bool:
    if content is None or isinstance(content, bool):
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if words and words[-1] in _PLACES:
        return False
    if any(_names_secret(word) for word in words):
        return True
    # `max_tokens` is a number and `tokens` with texts under it are secrets.
    return not isinstance(content, int | float) and any(_names_secret(word.removesuffix("s")) for word in words)


def _names_secret(word: str) -> bool:
    return word in _SECRETS or word.endswith(_SECRET_ENDINGS)


def _without_secrets(rest: str) -> str:
    """What follows `scheme://`."""
    mark = _QUERY.search(rest)
    place, query = (rest[: mark.start()], rest[mark.end() :]) if mark else (rest, "")
    if "@" in query:
        return HIDDEN  # a password with a question mark, or a query with an at sign: nobody can tell
    # A password may hold a slash or an at sign: whatever stands before the last one is hidden.
    _, at, host = place.rpartition("@")
    return (HIDDEN + at if at else "") + host + (mark[0] + _names(query) if mark else "")


def _names(query: str) -> str:
    """The names of a query's parameters; not their values, nor what follows the query."""
    parts = (parameter.partition("=") for parameter in query.split("&"))
    return "&".join(f"{name}={HIDDEN}" if equals else HIDDEN for name, equals, _ in parts)
