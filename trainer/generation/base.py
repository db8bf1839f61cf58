"""What every decoding engine promises, and the words that engines and their callers share."""

import hashlib
import time
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

Message = Mapping[str, str]


Messages = Sequence[Message]


FinishReason = Literal["stop", "length", "prompt_too_long"]


@dataclass(frozen=True)
class Decoding:
    """How answers are written. temperature 0 is greedy; the seed matters above it, together with the prompt's text."""

    max_tokens: int = 8192
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 17


GREEDY = Decoding()


class Asked(NamedTuple):
    """A prompt under a key of the caller's own. draw: which sample of the prompt, so that each is drawn by itself."""

    key: Hashable
    messages: Messages
    draw: int = 0


class Answered(NamedTuple):
    """text: without control tokens and outer white space; n_tokens: without the end of turn.

    finish_reason: `stop` (the model ended its turn), `length` (cut at `max_tokens` or at the window's end),
    `prompt_too_long` (the prompt leaves no room in the window: no text).
    """

    key: Hashable
    text: str
    n_tokens: int
    finish_reason: FinishReason


class Source(Protocol):
    """Where prompts come from while answers go out: what is asked next may depend on what was answered."""

    def next_batch(self, *, wait: bool) -> Sequence[Asked] | None:
        """The next prompts, at most `batch_size`; None when there will be no more.

        An empty one means that none is ready at the moment, and is given only where `wait` is false.
        """
        ...


class DecodingEngine(Protocol):
    """batch_size: prompts that a source hands out together; under_way: the most that are held at once;
    busy_s: seconds spent decoding so far."""

    @property
    def batch_size(self) -> int: ...

    @property
    def under_way(self) -> int: ...

    @property
    def busy_s(self) -> float: ...

    def run(self, source: Source) -> Iterator[Answered]:
        """Answers as they are finished, until the source is over."""
        ...

    def describe(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


def seed_of(seed: int, prompt_ids: Iterable[Sequence[int]], draws: Sequence[int]) -> int:
    """A seed that depends on the prompts and their draws and on nothing else, so that a resumed run samples what it
    would have."""
    digest = hashlib.sha256(repr((seed, [list(ids) for ids in prompt_ids], list(draws))).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class BusyTime:
    """Adds up the seconds of the blocks that it is put around."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.monotonic() - self._since
