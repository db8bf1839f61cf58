"""Reading a scoring request: size limits, parsing, and errors that name the place and the mend.

Raises only `service.errors`; no message holds text of a problem, a reference or a candidate.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request

from service.errors import InvalidRequest, TooLarge
from service.schema import Group, ScoreRequest
from service.settings import LimitSettings

NEEDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "verify": (("answer", "reference"),),
    "judge": (("problem",), ("reference",)),
    "nll": (("problem",),),
    "diversity": (),
    "reward": (("problem",), ("reference",)),
}
"""Per endpoint, what every group must hold: one field of each tuple."""

_SHOWN = 20
_DRAINED = 64 << 20
_MENDS = {
    "extra_forbidden": "no such field; remove it or check its spelling",
    "missing": "missing; add it",
    "json_invalid": "not valid JSON",
    "string_type": "must be a JSON string",
    "string_unicode": "must be valid Unicode; it holds a lone surrogate",
    "finite_number": "must be a finite number, not NaN or Infinity",
}


async def read_score_request(request: Request, endpoint: str, limits: LimitSettings) -> ScoreRequest:
    """The parsed body, with an id for every group. Raises `TooLarge` or `InvalidRequest`."""
    body = await _read_body(request, limits.body_mb << 20)
    try:
        score_request = ScoreRequest.model_validate_json(body)
    except ValidationError as error:
        raise _invalid([_place(e) for e in error.errors(include_url=False, include_input=False)]) from None
    named = score_request.model_copy(update={"groups": score_request.named_groups()})
    _check_limits(named.groups, limits)
    _check_needs(named.groups, endpoint)
    return named


async def _read_body(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > limit + _DRAINED:
            break
    # Reading on a while past the limit lets ordinary clients finish sending and read the answer.
    if size > limit:
        raise TooLarge(
            f"the body is larger than limits.body_mb = {limit >> 20} MiB; send fewer groups a request",
            detail={"limit": "limits.body_mb", "value": limit >> 20},
        )
    return b"".join(chunks)


def _check_limits(groups: Sequence[Group], limits: LimitSettings) -> None:
    candidates = sum(len(g.candidates) for g in groups)
    characters = sum(len(g.problem or "") + len(g.reference or "") + sum(map(len, g.candidates)) for g in groups)
    for name, have, limit in (
        ("groups", len(groups), limits.groups),
        ("candidates", candidates, limits.candidates),
        ("characters", characters, limits.characters),
    ):
        if have > limit:
            raise TooLarge(
                f"the request holds {have} {name}, more than limits.{name} = {limit}; send fewer groups a request",
                detail={"limit": f"limits.{name}", "value": limit},
            )


def _check_needs(groups: Sequence[Group], endpoint: str) -> None:
    problems = [
        {"place": f"groups.{index}.{'|'.join(either)}", "message": f"missing; /v1/{endpoint} needs it in every group"}
        for index, group in enumerate(groups)
        for either in NEEDS[endpoint]
        if all(getattr(group, field) is None for field in either)
    ]
    if problems:
        raise _invalid(problems)


def _place(error: Any) -> dict[str, str]:
    place = ".".join(str(part) for part in error["loc"]) or "body"
    known = _MENDS.get(error["type"])
    reason = str(error.get("ctx", {}).get("error", error["msg"]))
    if error["type"] == "json_invalid":
        return {"place": place, "message": f"{known}: {reason}"}
    return {"place": place, "message": known or reason}


def _invalid(problems: list[dict[str, str]]) -> InvalidRequest:
    more = len(problems) - 1
    first = f"{problems[0]['place']}: {problems[0]['message']}" + (f" (and {more} more)" if more else "")
    return InvalidRequest(first, detail=problems[:_SHOWN])
