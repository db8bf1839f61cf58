"""One HTTP exchange whose answer is read up to a size and no further, for those who ask other services.

A peer that sends without end, or a few bytes that unpack into gigabytes, costs no more than what was allowed. Time is
up to the caller: an `asyncio.timeout` around the call bounds all of it, drips included, and ends the connection.
"""

from typing import NamedTuple

import httpx


class AnswerRefused(Exception):
    """The answer was not read to its end: it is larger than allowed, or compressed. The connection is closed."""


class Answer(NamedTuple):
    """An answer, read whole."""

    status: int
    headers: httpx.Headers
    content: bytes


async def exchange(client: httpx.AsyncClient, request: httpx.Request, *, most: int) -> Answer:
    """Send the request and read at most `most` bytes of the answer's body.

    Compressed answers are neither asked for nor read, since no part of one says how large the next will be. Raises
    `AnswerRefused`, and what httpx raises.
    """
    request.headers["Accept-Encoding"] = "identity"
    response = await client.send(request, stream=True)
    try:
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise AnswerRefused("answered compressed, which was not asked for")
        content = bytearray()
        async for piece in response.aiter_raw():
            if len(content) + len(piece) > most:
                raise AnswerRefused(f"answered more than {most} bytes")
            content += piece
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, bytes(content))
