"""Load over plain sockets, cheap enough not to be what is measured: prepared bodies, bounded connections, a tally."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

_WORDS = [f"{stem}{end}" for stem in ("sum", "root", "side", "angle", "prime", "limit", "term") for end in range(90)]


def text(rng: random.Random, characters: int) -> str:
    """Words and formula signs; about four in five characters are letters."""
    parts: list[str] = []
    size = 0
    while size < characters:
        parts.append(rng.choice(_WORDS) + rng.choice(("", "", "", ",", " =", " +")))
        size += len(parts[-1]) + 1
    return " ".join(parts)[:characters]


def body(groups: int, *, candidates: int = 10, characters: int = 1500, seed: int = 0) -> bytes:
    """A scoring request of distinct texts."""
    rng = random.Random(seed)
    made = [
        {
            "id": f"g{number}",
            "problem": text(rng, 200),
            "reference": text(rng, characters),
            "answer": "42",
            "candidates": [text(rng, characters) for _ in range(candidates)],
        }
        for number in range(groups)
    ]
    return json.dumps({"groups": made}).encode()


@dataclass
class Tally:
    """What came back. Seconds are of answers with status 200."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    finished_at: list[float] = field(default_factory=list)
    without_retry_after: int = 0
    failed_candidates: int = 0
    lost: int = 0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class Connection:
    """One kept connection to one address; HTTP/1.1 with a body length, as uvicorn answers."""

    def __init__(self, url: str, path: str) -> None:
        split = urlsplit(url)
        self._host, self._port, self._path = split.hostname or "127.0.0.1", split.port or 80, path
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case, body. Raises `OSError` or `asyncio.IncompleteReadError` when it breaks."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        head = f"POST {self._path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(content)}\r\n\r\n"
        self._writer.write(head.encode() + content)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        answer = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), headers, answer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


async def keep_posting(
    url: str, path: str, bodies: Sequence[bytes], *, connections: int, until: float, tally: Tally, pause_s: float = 0.0
) -> None:
    """So many connections, each with one request under way, until the moment (monotonic). pause_s: between requests of
    a connection, also after a refusal."""

    async def one(number: int) -> None:
        connection = Connection(url, path)
        turn = number
        while time.monotonic() < until:
            started = time.monotonic()
            try:
                status, headers, answer = await connection.post(bodies[turn % len(bodies)])
            except (OSError, asyncio.IncompleteReadError):
                tally.lost += 1
                connection.close()
                await asyncio.sleep(0.05)
                continue
            turn += 1
            note(tally, status, headers, answer, time.monotonic() - started)
            if pause_s:
                await asyncio.sleep(pause_s)
        connection.close()

    await asyncio.gather(*(one(number) for number in range(connections)))


def note(tally: Tally, status: int, headers: dict[str, str], answer: bytes, seconds: float) -> None:
    tally.statuses[status] += 1
    if status == httpx.codes.OK:
        tally.seconds.append(seconds)
        tally.finished_at.append(time.monotonic())
        tally.failed_candidates += answer.count(b'"status":"failed"')
    elif status == httpx.codes.TOO_MANY_REQUESTS and "retry-after" not in headers:
        tally.without_retry_after += 1


def wait_ready(urls: Sequence[str], *, seconds: float = 60.0, alive: Callable[[], bool] = lambda: True) -> None:
    """Until every address is ready. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    for url in urls:
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline or not alive():
                raise TimeoutError(f"{url} did not get ready")
            time.sleep(0.1)
