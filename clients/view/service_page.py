"""The page at a service (`/ui`): whether it is there, and what is wrong where it is not.

Promises: one GET of /ui, without a key, for the page needs none; what is wrong is said with what to do about it.

Not covered: whether the service can score anything (`rewright info`).
"""

import httpx
from pydantic import ValidationError

from rewright.clients.transport.errors import error_of
from rewright.service.errors import InvalidRequest, NotFound, ScorerUnavailable, SettingsError
from rewright.service.schema import ErrorAnswer

LONGEST_WAIT_S = 10.0
_MARK = "<title>Rewright"


def is_address(name: str) -> bool:
    """Whether it names a service, and no file."""
    return name.startswith(("http://", "https://"))


def page_address(url: str) -> str:
    """Where the page of the service at `url` is; url may end in `/ui`, and where it leads elsewhere, that counts.

    Raises `ScorerUnavailable` where nothing answers, `SettingsError` where the service shows no page, `InvalidRequest`
    where what answers is no service of ours, and the error that any other answer stands for.
    """
    asked = url.rstrip("/").removesuffix("/ui") + "/ui"
    try:
        answer = httpx.get(asked, timeout=LONGEST_WAIT_S, follow_redirects=True)
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"{url}: no address ({error})") from None
    except (httpx.TimeoutException, httpx.TooManyRedirects) as error:
        raise ScorerUnavailable(f"{asked}: no answer ({type(error).__name__})") from None
    except httpx.TransportError as error:
        raise ScorerUnavailable(f"{asked}: nothing answers there ({error or type(error).__name__})") from None
    if answer.status_code == httpx.codes.OK and _MARK in answer.text:
        return str(answer.url)
    if answer.status_code == httpx.codes.OK:
        raise InvalidRequest(f"{asked} answers, but not with the page of Rewright; is the address right?")
    trouble = error_of(answer, asked)
    if isinstance(trouble, NotFound) and _is_ours(answer):
        raise SettingsError(f"the service at {url} shows no page; start it with REWRIGHT_UI=true")
    raise trouble


def _is_ours(answer: httpx.Response) -> bool:
    """Whether it has an error body as this service writes them."""
    try:
        ErrorAnswer.model_validate_json(answer.content)
    except ValidationError:
        return False
    return True
