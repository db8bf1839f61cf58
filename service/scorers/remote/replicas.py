"""The pods behind a remote scorer: their addresses, who is well, and who is asked next.

A headless service's name stands for all its addresses, looked up again every few seconds, so that new pods get work and
vanished ones none. A replica is away until it has said who it is, and again when it fails, until it is well once more
(`rewright.service.scorers.remote.health`); one that is only busy rests as long as it asked. Connections are used no
longer than `connection_age_s`, for services that balance by connection.

Not covered: what is sent (`rewright.service.scorers.remote.scorer`).
"""

import asyncio
import hashlib
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import cache

import httpx

from rewright.service.backoff import Backoff
from rewright.service.scorers.remote.generations import Generation, Said

log = logging.getLogger(__name__)

ROOM = 256
"""Candidates that may be under way at one replica; the rest waits here, where it can still go elsewhere."""
POST_CANDIDATES = 64
"""Candidates of a post. A replica that was full is given work again once there is room for a whole one."""
STAYS = 64
"""Candidates that a replica takes before it is held to its share: so many of one problem stay where its prefix is."""
SHARE = 1.25
"""How much more than the average may be under way at a replica that a problem belongs to."""
LOOK_UP_EVERY_S = 5.0
CONNECT_S = 2.0
IDLE_S = 2.0  # shorter than servers keep idle connections, so that none closes under a request
REST = Backoff(first_s=0.5, longest_s=2.0)
"""Shorter than work waits (`PATIENCE_S` of the scorer): none fails while a replica is up again."""


class Replica:
    """One address of the scorer, away until it `returns` for the first time.

    under_way: candidates; why: the reason it is away; refuses: it is away because it answers nobody here, whatever is
    sent; to_prove: it is back only when it has scored something; strikes: groups in a row that it could not score, nor
    anything between them, while another replica could; said: who it last said it is.
    """

    def __init__(self, url: str, *, headers: dict[str, str], connection_age_s: float) -> None:
        self.url = url
        self.under_way = 0
        self.away_since: float | None = time.monotonic()
        self.rests_until = 0.0
        self.why = ""
        self.refuses = False
        self.to_prove = False
        self.strikes = 0
        self.said: Said | None = None
        self.generation: Generation | None = None
        self._full = False
        self.answered_at = time.monotonic()
        self.misses = 0
        self._headers = headers
        self._age_s = connection_age_s
        self._failures = 0
        self._client: httpx.AsyncClient | None = None
        self._born = 0.0
        self._uses: dict[httpx.AsyncClient, int] = {}

    @property
    def well(self) -> bool:
        return self.away_since is None

    def has_room(self, candidates: int) -> bool:
        """Always when it has nothing to do."""
        most = ROOM - POST_CANDIDATES if self._full else ROOM
        self._full = self.under_way > 0 and self.under_way + candidates > most
        return not self._full

    def answered(self) -> None:
        self.answered_at = time.monotonic()
        self.misses = self._failures = 0

    def fails(self, reason: str, *, refuses: bool = False, to_prove: bool = False) -> None:
        """Away from now on, and not asked whether it is back before a pause that doubles with each failure in a row."""
        now = time.monotonic()
        if self.well or self.why != reason:
            log.warning("replica %s is away: %s", self.url, reason)
        if self.well:
            self.away_since = now
        self.why, self.refuses = reason, refuses
        # What was to be proved once stays to be proved until it is.
        self.to_prove = self.to_prove or to_prove
        self.strikes = 0
        self._failures += 1
        self.rests_until = now + REST.pause(self._failures)

    def returns(self) -> None:
        if not self.well:
            log.info("replica %s is well", self.url)
            self.away_since = None
            self.why, self.refuses, self.to_prove = "", False, False
            self.answered_at = time.monotonic()
            self.misses = 0

    def busy(self, seconds: float) -> None:
        self.rests_until = max(self.rests_until, time.monotonic() + seconds)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client whose connections are young enough; an old one is closed when its last request ends."""
        now = time.monotonic()
        if self._client is None or now - self._born > self._age_s:
            former, self._client, self._born = self._client, self._new_client(), now
            if former is not None and not self._uses.get(former):
                self._uses.pop(former, None)
                await former.aclose()
        client = self._client
        self._uses[client] = self._uses.get(client, 0) + 1
        try:
            yield client
        finally:
            self._uses[client] -= 1
            if client is not self._client and not self._uses[client]:
                del self._uses[client]
                await client.aclose()

    async def retire(self) -> None:
        """Close what is idle now and the rest when its last request ends."""
        former, self._client = self._client, None
        if former is not None and not self._uses.get(former):
            self._uses.pop(former, None)
            await former.aclose()

    async def close(self) -> None:
        for client in {*self._uses, *([self._client] if self._client else [])}:
            await client.aclose()
        self._client = None

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=IDLE_S),
            verify=_tls() if self.url.startswith("https") else False,
            trust_env=False,
        )


class Replicas:
    """All addresses behind the base URLs."""

    def __init__(self, urls: Sequence[str], *, api_key: str | None, connection_age_s: float) -> None:
        self._found: dict[str, list[str]] = {url.rstrip("/"): [] for url in urls}
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._age_s = connection_age_s
        self._all: dict[str, Replica] = {}
        self._turn = 0

    def __iter__(self) -> Iterator[Replica]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)

    async def look_up(self) -> None:
        """Find the addresses. A name that cannot be looked up keeps those it had. May be called again at any time."""
        for url in self._found:
            addresses = await _addresses(httpx.URL(url))
            if addresses is not None:
                self._found[url] = addresses
        now = {address: None for addresses in self._found.values() for address in addresses}
        for address in self._all.keys() - now.keys():
            # What is under way there may still be answered; its client is closed with the last of it.
            log.info("replica %s is gone", address)
            await self._all.pop(address).retire()
        for address in now:
            if address not in self._all:
                self._all[address] = Replica(address, headers=self._headers, connection_age_s=self._age_s)

    def choose(
        self,
        candidates: int,
        generation: Generation | None,
        *,
        affinity: str | None,
        avoid: Collection[Replica],
        never: Collection[Replica],
    ) -> Replica | None:
        """A well replica of that generation with room for so many candidates, or None.

        Without `affinity` the one with the least under way. With it the first in an order that is the same for the same
        affinity while the same replicas are well (rendezvous hashing), passing over those that have much more to do
        than the others (consistent hashing with bounded loads, arXiv 1608.01350). Those in `avoid` come last, those in
        `never` not at all.
        """
        now = time.monotonic()
        ready = [
            r
            for r in self._all.values()
            if r.well and r.generation is generation and r.rests_until <= now and r.has_room(candidates)
        ]
        if avoid:
            ready = [r for r in ready if r not in never]
            ready = [r for r in ready if r not in avoid] or ready
        if not ready:
            return None
        if affinity is not None:
            most = max(STAYS, SHARE * (sum(r.under_way for r in ready) + candidates) / len(ready))
            ready = [r for r in ready if r.under_way + candidates <= most] or ready
            return max(ready, key=lambda r: _weight(r.url, affinity))
        self._turn += 1
        least = min(r.under_way for r in ready)
        idle = [r for r in ready if r.under_way == least]
        return idle[self._turn % len(idle)]

    def rest_left(self, generation: Generation | None) -> float:
        """Seconds until one of the generation that is well may be asked again; 0 where one may, or none is well."""
        now = time.monotonic()
        rests = (r.rests_until - now for r in self._all.values() if r.well and r.generation is generation)
        return max(0.0, min(rests, default=0.0))

    async def close(self) -> None:
        for replica in self:
            await replica.close()


def _weight(url: str, affinity: str) -> bytes:
    return hashlib.blake2b(affinity.encode("utf-8", "surrogatepass"), key=_key(url), digest_size=8).digest()


@cache
def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=16).digest()


async def _addresses(url: httpx.URL) -> list[str] | None:
    """Base URLs of every address of the name; None where it cannot be looked up."""
    try:
        ipaddress.ip_address(url.host)
    except ValueError:
        pass
    else:
        return [str(url).rstrip("/")]
    if url.scheme == "https":  # the certificate belongs to the name
        return [str(url).rstrip("/")]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return None
    hosts = sorted({str(sockaddr[0]) for *_, sockaddr in found})
    if url.host == "localhost" and "127.0.0.1" in hosts:
        hosts = ["127.0.0.1"]  # two addresses of one server
    return [str(url.copy_with(host=host)).rstrip("/") for host in hosts]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
