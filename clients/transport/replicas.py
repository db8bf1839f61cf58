"""Several base URLs of one service: who is asked next, and who rests for a while.

A replica in trouble rests: as long as its Retry-After asks, else for a pause that doubles with each failure in a row,
with jitter (`rewright.service.backoff`); never for longer than the client's `longest_pause_s`. All callers of one
client share the rests, so that many requests at once do not storm a server that asked to be spared. Among those awake
the one with the fewest requests under way is asked. One that refuses what another answers rests too, and is told of.
"""

import logging
import random
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import httpx

from rewright.service.backoff import Backoff
from rewright.service.errors import InvalidRequest, RewrightError

log = logging.getLogger(__name__)
FIRST_REST_S = 0.3
LONGEST_REST_S = 10.0
ASKED_JITTER = 1.1
"""By how much `Backoff` may exceed what it was asked for."""


class Replica:
    """One base URL. under_way: requests that it has not answered yet; rests_until: on the monotonic clock, seconds.

    well: it has answered before, and has not refused since what another answered.
    """

    def __init__(self, url: str, rest: Backoff) -> None:
        self.url = url
        self._rest = rest
        self.under_way = 0
        self.rests_until = 0.0
        self.well = False
        self._failures = 0
        self._failed_at = 0.0

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Around each request to it, which counts as under way inside."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def troubled(self, *, began: float, asked_s: float = 0.0) -> None:
        """Let it rest. began: when the request was sent; asked_s: from its Retry-After, else 0."""
        # Requests that were under way together fail together; that is one failure, not many.
        if began >= self._failed_at:
            self._failures += 1
        self._failed_at = time.monotonic()
        self.rests_until = max(self.rests_until, self._failed_at + self._rest.pause(self._failures, asked_s=asked_s))

    def refused(self, trouble: RewrightError, *, began: float) -> None:
        """It refused for good what another replica has answered. began: when that one was asked."""
        if not self._failures:
            log.warning("%s (%s); another address answers, and is asked instead", trouble.message, trouble.code)
        self.well = False
        self.troubled(began=began)

    def answered(self) -> None:
        """End its row of failures; a rest that it asked for goes on."""
        self._failures = 0
        self.well = True


class Replicas:
    """All base URLs of one client; longest_pause_s: the longest rest, whatever a Retry-After asks for.

    Raises `InvalidRequest` for a base URL that is none.
    """

    def __init__(self, base_urls: str | Sequence[str], *, longest_pause_s: float) -> None:
        rest = Backoff(
            first_s=FIRST_REST_S,
            longest_s=min(LONGEST_REST_S, longest_pause_s),
            longest_asked_s=longest_pause_s / ASKED_JITTER,
        )
        self._all = [Replica(url, rest) for url in base_urls_of(base_urls)]
        self._turn = random.randrange(len(self._all))

    def next(self, *, but: Collection[Replica] = ()) -> Replica | None:
        """The least busy replica that is not resting, and none of `but`; None while all rest."""
        now = time.monotonic()
        self._turn = (self._turn + 1) % len(self._all)
        turned = self._all[self._turn :] + self._all[: self._turn]
        awake = [replica for replica in turned if replica.rests_until <= now and replica not in but]
        return min(awake, key=lambda replica: replica.under_way, default=None)

    def may_answer(self, *, but: Collection[Replica]) -> bool:
        """Whether one beside those is awake, or rests and has been well: it is worth asking, or waiting for."""
        now = time.monotonic()
        return any(replica.well or replica.rests_until <= now for replica in self._all if replica not in but)

    def rest_left(self, *, but: Collection[Replica] = ()) -> float:
        """Seconds until the first replica beside those wakes; 0 while one is awake."""
        ends = [replica.rests_until for replica in self._all if replica not in but]
        return max(0.0, min(ends) - time.monotonic())


def base_urls_of(base_urls: str | Sequence[str]) -> list[str]:
    """One or several addresses, each without a slash at its end. Raises `InvalidRequest` for what is none."""
    given = [base_urls] if isinstance(base_urls, str) else list(base_urls)
    if not given:
        raise InvalidRequest("base_urls is empty; name at least one, such as http://127.0.0.1:8000")
    return [_checked(url) for url in given]


def _checked(text: str) -> str:
    try:
        url = httpx.URL(text.rstrip("/"))
    except httpx.InvalidURL as error:
        raise InvalidRequest(f"base_urls: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidRequest(f"base_urls: {text!r} is no address of a service; give one such as http://127.0.0.1:8000")
    if url.userinfo or url.query or url.fragment:
        raise InvalidRequest("base_urls: give scheme, host, port and path alone; a key goes into api_key")
    return str(url).rstrip("/")
