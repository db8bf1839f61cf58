"""Bodies of a 200 → results: JSON whose every number is finite, in the shape that was asked for.

Whatever cannot be believed is an `InternalError` that names the place, without repeating any text. That covers what a
broken service or a page of somebody else says; it never reaches a caller as a number.
"""

import math
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from rewright.clients.transport.batches import first_fix
from rewright.service.errors import InternalError

Model = TypeVar("Model", bound=BaseModel)


def finite_json(content: bytes) -> Any:
    """The JSON value. Raises `ValueError` for what is no JSON, is nested too deeply, or holds NaN or an infinity (1e999
    is one as well); the message names the place.
    """
    value = from_json(content)
    if (place := next(_not_finite(value), None)) is not None:
        raise ValueError(f"{'.'.join(place)}: the number is not finite")
    return value


def json_object(content: bytes, path: str) -> dict[str, Any]:
    """Raises `InternalError`; path: of the endpoint that answered."""
    try:
        value = finite_json(content)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InternalError(f"{path} answered something that is no JSON object; is the address right?")
    return value


def answer_of(model: type[Model], content: bytes, path: str) -> Model:
    """The answer. Raises `InternalError`; path: of the endpoint that answered."""
    try:
        return model.model_validate(finite_json(content))
    except ValidationError as error:
        reason = first_fix(error)
    except ValueError as error:
        reason = str(error)
    raise InternalError(
        f"{path} answered what cannot be used ({reason}); are client and service of the same version, and is the "
        "address right? The service's log may say more"
    )


def _not_finite(value: Any) -> Iterator[tuple[str, ...]]:
    """Places of numbers that are not finite. As deep as the parser lets JSON be, some 200 levels."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, float | dict | list):
                for place in _not_finite(inner):
                    yield (str(key), *place)
