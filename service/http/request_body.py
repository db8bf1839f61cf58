"""Reading a scoring request: size limits, parsing, and errors that name the place and the fix.

A body costs at most some thirty times its size in memory, whatever it holds: its groups and candidates are counted
before any is validated, validation stops at the first few errors, and one of more than `AT_ONCE` bytes is read on a
thread, group by group, so that the event loop answers others meanwhile.

Raises only `rewright.service.errors`; no message holds text of a problem, a reference or a candidate.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from rewright.service.core.admission import Admission
from rewright.service.errors import InvalidRequest, Overloaded, RequestError, TooLarge
from rewright.service.http.request_life import body_read_by
from rewright.service.schema import Group, ScoreRequest
from rewright.service.settings import LimitSettings

Parsed = TypeVar("Parsed", bound=BaseModel)
AT_ONCE = 64 << 10
"""Bytes that are parsed on the event loop itself."""
MOST_FIELDS = 64
_SHOWN = 5
_DRAINED = 64 << 20
_FIXES = {
    "extra_forbidden": "no such field; remove it or check its spelling",
    "missing": "missing; add it",
    "json_invalid": "not valid JSON",
    "string_type": "must be a JSON string",
    "string_unicode": "must be valid Unicode; it holds a lone surrogate",
    "finite_number": "must be a finite number, not NaN or Infinity",
}


@asynccontextmanager
async def body_of(request: Request, admission: Admission, limits: LimitSettings, due: float) -> AsyncIterator[bytes]:
    """The raw body, counted among the bytes inside for as long as the context lasts.

    Raises `TooLarge`, `DeadlineExceeded` where it is not here at `due` (monotonic), and `Overloaded` where too many
    bodies are inside. A refused body is read and dropped, within reason, so that ordinary clients finish sending and
    read the answer.
    """
    held = [0]
    try:
        yield await body_read_by(due, _read(request, admission, limits, held))
    finally:
        admission.release(held[0])


async def _read(request: Request, admission: Admission, limits: LimitSettings, held: list[int]) -> bytes:
    """The whole body. `held[0]` is what the caller must release, whatever happens."""
    limit = limits.body_mb << 20
    chunks: list[bytes] = []
    size = 0
    refusal: RequestError | None = None
    async for chunk in request.stream():
        size += len(chunk)
        if refusal is None and size > limit:
            refusal = TooLarge(
                f"the body is larger than limits.body_mb = {limits.body_mb} MiB; send fewer groups per request",
                detail={"limit": "limits.body_mb", "value": limits.body_mb},
            )
        if refusal is None:
            try:
                admission.hold(len(chunk), own=held[0])
            except Overloaded as full:
                refusal = full
        if refusal is None:
            held[0] += len(chunk)
            chunks.append(chunk)
        else:
            chunks.clear()
            if size > limit + _DRAINED:
                break
    if refusal is not None:
        raise refusal
    return b"".join(chunks)


async def drop_body(request: Request) -> None:
    """Read the body of a request that was refused already, within reason."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _DRAINED:
            break


async def parse(body: bytes, limits: LimitSettings) -> ScoreRequest:
    """The parsed body, with an id for every group. Raises `TooLarge` or `InvalidRequest`."""
    if len(body) <= AT_ONCE:
        return _parse(body, limits)
    return await asyncio.to_thread(_parse, body, limits)


async def parsed_as(model: type[Parsed], body: bytes, limits: LimitSettings) -> Parsed:
    """The body as another model than groups, within the same limits. Raises `TooLarge` or `InvalidRequest`."""
    if len(body) <= AT_ONCE:
        return _parsed_as(model, body, limits)
    return await asyncio.to_thread(_parsed_as, model, body, limits)


def _parsed_as(model: type[Parsed], body: bytes, limits: LimitSettings) -> Parsed:
    content = _content(body)
    _check_fields(content)
    if isinstance(content, dict) and isinstance(rows := content.get("completions"), list):
        check_candidates(len(rows), limits)
    # No text is longer than the body that brought it.
    if len(body) > limits.characters:
        _check_text(content, limits)
    return validated(model, content)


def validated(model: type[Parsed], content: Any, *place: str) -> Parsed:
    """The content as a model. Raises `InvalidRequest` naming the field, behind `place`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise _invalid([_place({**e, "loc": (*place, *e["loc"])}) for e in found]) from None


def check_candidates(count: int, limits: LimitSettings) -> None:
    """Raise `TooLarge` for more candidates than one request may hold."""
    if count > limits.candidates:
        raise _too_many("candidates", count, limits.candidates)


def _content(body: bytes) -> Any:
    try:
        # Texts of candidates seldom come twice: a table of them would cost more than it saves.
        return from_json(body, cache_strings="keys")
    except ValueError as error:
        raise _invalid([{"place": "body", "message": f"{_FIXES['json_invalid']}: {error}"}]) from None


def _check_text(content: Any, limits: LimitSettings) -> None:
    """Characters of all texts, wherever in the content they stand."""
    characters, ahead = 0, [content]
    while ahead:
        value = ahead.pop()
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict | list):
            ahead += value.values() if isinstance(value, dict) else value
    if characters > limits.characters:
        raise _too_many("characters", characters, limits.characters)


def _parse(body: bytes, limits: LimitSettings) -> ScoreRequest:
    content = _content(body)
    _check_fields(content)
    if isinstance(content, dict) and isinstance(content.get("groups"), list):
        _check_counts(content["groups"], limits)
        content["groups"] = _groups(content["groups"])
    try:
        score_request = ScoreRequest.model_validate(content)
    except ValidationError as error:
        raise _invalid([_place(e) for e in error.errors(include_url=False, include_input=False)]) from None
    named = score_request.model_copy(update={"groups": score_request.named_groups()})
    _check_characters(named.groups, limits)
    return named


def _check_fields(content: Any) -> None:
    """Objects with more fields than any may have: each unknown field would be an error of its own."""
    rule = content.get("rule") if isinstance(content, dict) else None
    inside = {f"rule.{key}": rule.get(key) for key in ("weights", "guards")} if isinstance(rule, dict) else {}
    for place, value in {"body": content, "rule": rule, **inside}.items():
        _check_size(place, value)


def _check_size(place: str, value: Any) -> None:
    if isinstance(value, dict) and len(value) > MOST_FIELDS:
        raise _invalid([{"place": place, "message": f"holds {len(value)} fields; at most {MOST_FIELDS} are allowed"}])


def _check_counts(groups: list[Any], limits: LimitSettings) -> None:
    """Of what was parsed and not validated yet: numbers alone, so that a flood of small things costs no more."""
    if len(groups) > limits.groups:
        raise _too_many("groups", len(groups), limits.groups)
    inside = 0
    for index, group in enumerate(groups):
        _check_size(f"groups.{index}", group)
        candidates = group.get("candidates") if isinstance(group, dict) else None
        inside += len(candidates) if isinstance(candidates, list) else 0
        if inside > limits.candidates:
            raise _too_many("candidates", inside, limits.candidates, group=index)


def _groups(contents: list[Any]) -> list[Group]:
    """Every group validated by itself. Raises `InvalidRequest` after the first few that are wrong."""
    groups: list[Group] = []
    problems: list[dict[str, str]] = []
    for index, content in enumerate(contents):
        try:
            groups.append(Group.model_validate(content))
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            problems += [_place({**e, "loc": ("groups", index, *e["loc"])}) for e in found]
            if len(problems) >= _SHOWN:
                break
    if problems:
        raise _invalid(problems)
    return groups


def _check_characters(groups: Sequence[Group], limits: LimitSettings) -> None:
    characters = 0
    for index, g in enumerate(groups):
        characters += len(g.problem or "") + len(g.reference or "") + sum(map(len, g.candidates))
        if characters > limits.characters:
            raise _too_many("characters", characters, limits.characters, group=index)


def _too_many(name: str, have: int, limit: int, *, group: int | None = None) -> TooLarge:
    place = "" if group is None else f" up to groups.{group}"
    return TooLarge(
        f"the request holds {have} {name}{place}, more than limits.{name} = {limit}; send fewer groups per request",
        detail={"limit": f"limits.{name}", "value": limit},
    )


def check_needs(groups: Sequence[Group], needs: Collection[str], endpoint: str) -> None:
    """Raise `InvalidRequest` for groups without a field that is needed; `a|b` in `needs` asks for one of the two."""
    problems = [
        {"place": f"groups.{index}.{need}", "message": f"missing; /v1/{endpoint} needs it in every group"}
        for index, group in enumerate(groups)
        for need in needs
        if all(getattr(group, field) is None for field in need.split("|"))
    ]
    if problems:
        raise _invalid(problems)


def _place(error: Any) -> dict[str, str]:
    place = ".".join(str(part) for part in error["loc"]) or "body"
    known = _FIXES.get(error["type"])
    reason = str(error.get("ctx", {}).get("error", error["msg"]))
    if error["type"] == "json_invalid":
        return {"place": place, "message": f"{known}: {reason}"}
    return {"place": place, "message": known or reason}


def _invalid(problems: list[dict[str, str]]) -> InvalidRequest:
    more = len(problems) - 1
    first = f"{problems[0]['place']}: {problems[0]['message']}" + (f" (and {more} more)" if more else "")
    return InvalidRequest(first, detail=problems[:_SHOWN])
