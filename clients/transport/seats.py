"""Where a member of a group may be seated, as far as its caller knows: at gateways that got it and have not answered.

What such a gateway told the siblings may be a reward, so no other gateway can say that the group has none. A gateway is
known by the process that its answers name; a request whose answer was lost counts for the process at that address if it
is there for longer.
"""

import time

import httpx

HEADER = "X-Process"


class Seats:
    """Of one member."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lost: dict[str, float] = {}

    def lost(self, url: str, sent: float) -> None:
        """A request sent at that time (monotonic) may have arrived."""
        self._lost.setdefault(url, sent)

    def keeps(self, url: str, sent: float, response: httpx.Response) -> None:
        """It was told to ask again; its seat is kept."""
        process, _ = _named(response)
        if process:
            self._known.add(process)
        else:
            self.lost(url, sent)

    def gave_up(self, url: str, response: httpx.Response) -> None:
        """The process says that it knows no such group any more."""
        process, _ = _named(response)
        self._known.discard(process)
        if self._same(url, response):
            self._lost.pop(url, None)

    def elsewhere(self, url: str, response: httpx.Response) -> bool:
        """Whether it may be seated at another process than the one that spoke."""
        process, _ = _named(response)
        here = {url} if self._same(url, response) else set()
        return bool(self._known - {process} or self._lost.keys() - here)

    def _same(self, url: str, response: httpx.Response) -> bool:
        """Whether what was lost at this address was lost by the process that spoke, or nothing was."""
        _, there_s = _named(response)
        return url not in self._lost or time.monotonic() - self._lost[url] < there_s


def _named(response: httpx.Response) -> tuple[str, float]:
    """The process and for how many seconds it is there; "" and 0 where it does not say."""
    name, _, seconds = response.headers.get(HEADER, "").partition(" ")
    try:
        return name, float(seconds)
    except ValueError:
        return "", 0.0
