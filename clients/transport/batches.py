"""Big requests are cut between groups, never inside one: a group's statistics need all its members."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group, Rule

_FIXES = {"string_unicode": "holds a lone surrogate, which is no text; replace it"}
"""pydantic's error type: what is said instead of its own words."""


def named(groups: Sequence[Group | dict[str, object]]) -> list[Group]:
    """The groups, checked, every absent id filled in by its index.

    Raises `InvalidRequest` naming the place, without repeating any text.
    """
    if not isinstance(groups, Sequence) or isinstance(groups, str | bytes):
        raise InvalidRequest(f"groups must be a list of groups, not {type(groups).__name__}")
    if not groups:
        raise InvalidRequest("there is nothing to score; give at least one group")
    checked: list[Group] = []
    seen: dict[str, int] = {}
    for index, given in enumerate(groups):
        group = given if isinstance(given, Group) else _parsed(given, index)
        _check_texts(group, index)
        name = group.id if group.id is not None else str(index)
        if name in seen:
            raise InvalidRequest(
                f"groups.{index}.id repeats the id of groups.{seen[name]} (an absent id is the group's index); "
                "give every group its own id"
            )
        seen[name] = index
        checked.append(group.model_copy(update={"id": name}))
    return checked


def cut(groups: Iterable[Group], *, candidates: int, characters: int) -> Iterator[list[Group]]:
    """Runs of consecutive groups, each within both limits; a group larger than a limit goes alone.

    candidates, characters: the most that one run holds; problem, reference and candidates count as characters.
    """
    batch: list[Group] = []
    candidates_left, characters_left = candidates, characters
    for group in groups:
        size = len(group.problem or "") + len(group.reference or "") + sum(map(len, group.candidates))
        if batch and (len(group.candidates) > candidates_left or size > characters_left):
            yield batch
            batch, candidates_left, characters_left = [], candidates, characters
        batch.append(group)
        candidates_left -= len(group.candidates)
        characters_left -= size
    if batch:
        yield batch


def parsed_rule(rule: Rule | Mapping[str, object] | None) -> Rule:
    """The rule, its defaults for None. Raises `InvalidRequest` naming the key that is wrong."""
    try:
        checked = rule if isinstance(rule, Rule) else Rule.model_validate(rule or {})
    except ValidationError as error:
        raise InvalidRequest(_within("rule", error)) from None
    for name in checked.weights:
        if (trouble := text_trouble(name)) is not None:
            raise InvalidRequest(f"rule.weights: a name {trouble}")
    return checked


def first_fix(error: ValidationError) -> str:
    """The first thing that is wrong, as `place: reason`, without the input's text."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    # Our own validators' words are what they raised; pydantic's message begins with "Value error".
    said = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    reason = _FIXES.get(first["type"], said)
    return f"{place}: {reason}" if place else reason


def _parsed(given: dict[str, object], index: int) -> Group:
    try:
        return Group.model_validate(given)
    except ValidationError as error:
        raise InvalidRequest(_within(f"groups.{index}", error)) from None


def text_trouble(value: object) -> str | None:
    """Why the value is no text that can be sent, and the fix; None where it can."""
    if not isinstance(value, str):
        return f"holds {type(value).__name__}; it must be a string"
    if value.isascii():
        return None
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return (
            f"holds a lone surrogate (U+{ord(value[error.start]):04X} at character {error.start + 1}), which is no "
            "text; replace it, such as by text.encode('utf-8', 'replace').decode()"
        )
    return None


def _check_texts(group: Group, index: int) -> None:
    """pydantic takes a str as it is; one that cannot be encoded would fail when the request is written."""
    texts = {name: getattr(group, name) for name in ("id", "problem", "reference", "answer")}
    texts |= {f"candidates.{k}": text for k, text in enumerate(group.candidates)}
    for place, text in texts.items():
        if text is not None and (trouble := text_trouble(text)) is not None:
            raise InvalidRequest(f"groups.{index}.{place} {trouble}")


def _within(place: str, error: ValidationError) -> str:
    fix = first_fix(error)
    return f"{place}.{fix}" if error.errors(include_url=False, include_input=False)[0]["loc"] else f"{place}: {fix}"
