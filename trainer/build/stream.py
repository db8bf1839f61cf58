"""Generate, verify, fall back (eq. 14) as a stream: the model writes while the service scores, rows come out in order.

Samples go through in blocks of a fixed size. Within a block, each round of the method (solve, then rewrite) asks for
the samples that did not pass the round before, in batches sorted by length; all that a round asks for one sample is
scored as one group. A block whose samples are all settled gives its rows. What a batch holds depends on the block
alone, so that a build that was killed writes the same batches again.

Promises: at most `window` blocks are held; a later step of an old block goes before a first step of a new one; the
first trouble ends the stream, and the blocks that were handed over until then are whole; none is skipped or doubled.

Not covered: writing (`rewright.trainer.runs.row_file`), the model (`rewright.trainer.generation.engine`), what is asked
of the service (`rewright.trainer.build.checks`).
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from rewright.trainer.build.checks import Checks
from rewright.trainer.build.rows import Attempt, Origin, ReferenceNll, attempt_of
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.generation.base import Answered, Asked


class Step(NamedTuple):
    """What a model is asked, how often, and the origin of a row that keeps its answer."""

    origin: Origin
    prompt: Prompt
    draws: int = 1

    def asked(self, sample: Sample) -> str:
        texts = {"problem": sample.problem, "solution": sample.reference}
        return self.prompt.fill(**texts)


Round = Sequence[Step]
"""What is asked for a sample at once."""


class Place(NamedTuple):
    """One sample of one block, and which of its round's candidates."""

    block: int
    row: int
    slot: int


class Settled(NamedTuple):
    """A sample with all that was written and said."""

    sample: Sample
    attempts: list[Attempt]
    reference: ReferenceNll


@dataclass
class _Block:
    samples: list[Sample]
    attempts: list[list[Attempt]]
    references: list[ReferenceNll | None]
    round: int = -1
    slots: list[Origin] = field(default_factory=list)
    written: dict[int, dict[int, Answered]] = field(default_factory=dict)
    """By row, what was answered of this round by slot, until it is scored."""
    open: set[int] = field(default_factory=set)
    asked_all: bool = False

    @property
    def is_settled(self) -> bool:
        return self.asked_all and not self.open and all(r is not None for r in self.references)

    def settled(self) -> list[Settled]:
        triples = zip(self.samples, self.attempts, self.references, strict=True)
        return [Settled(s, attempts, reference) for s, attempts, reference in triples if reference is not None]


class BuildStream:
    """A `Source` for the generator, which gets its answers back through `answered`.

    samples: read as blocks are opened; rounds: the method's, none for `sft`; take: gets the settled samples of one
    block after another, in order, and is called on the thread of `loop`.
    """

    def __init__(
        self,
        samples: Iterator[Sample],
        rounds: Sequence[Round],
        checks: Checks,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[list[Settled]], None],
        *,
        batch_size: int,
        block_size: int,
        window: int,
    ) -> None:
        self._samples = samples
        self._rounds = rounds
        self._checks = checks
        self._loop = loop
        self._take = take
        self._batch_size = batch_size
        self._block_size = block_size
        self._window = window
        self._blocks: dict[int, _Block] = {}
        self._opened = 0
        self._ready: list[tuple[int, int, list[Asked]]] = []
        self._over = False
        self._trouble: BaseException | None = None
        self._changed = threading.Condition()

    def next_batch(self, *, wait: bool) -> Sequence[Asked] | None:
        """Raises what ended the stream."""
        with self._changed:
            while True:
                if self._trouble is not None:
                    raise self._trouble
                if self._ready:
                    self._ready.sort(key=lambda ready: ready[:2])
                    return self._ready.pop(0)[2]
                if not self._over and len(self._blocks) < self._window:
                    self._open_block()
                    continue
                if self._over and not self._blocks:
                    return None
                if not wait:
                    return ()
                self._changed.wait()

    def answered(self, answer: Answered) -> None:
        """Have a sample's candidates checked when the last of its round is there; comes back at once."""
        place = answer.key
        assert isinstance(place, Place)  # noqa: S101
        block = self._blocks[place.block]
        written = block.written[place.row]
        written[place.slot] = answer
        if len(written) == len(block.slots):
            del block.written[place.row]
            answers = [written[slot] for slot in range(len(block.slots))]
            self._spawn(self._check(place, block.samples[place.row], block.slots, answers))

    def drain(self) -> None:
        """Wait for the end of a stream whose method asks nothing."""
        while self.next_batch(wait=True) is not None:
            pass

    def _open_block(self) -> None:
        samples = list(islice(self._samples, self._block_size))
        if not samples:
            self._over = True
            return
        number = self._opened
        self._opened += 1
        block = _Block(samples, [[] for _ in samples], [None] * len(samples))
        self._blocks[number] = block
        self._ask(number, block, list(range(len(samples))))
        for index, sample in enumerate(samples):
            self._spawn(self._score_reference(number, index, sample))

    def _ask(self, number: int, block: _Block, indices: list[int]) -> None:
        """Put the next round's prompts of these samples up, or note that there are no more rounds."""
        block.round += 1
        if not indices or block.round == len(self._rounds):
            block.asked_all = True
            return
        drawn = [(step, draw) for step in self._rounds[block.round] for draw in range(step.draws)]
        block.slots = [step.origin for step, _ in drawn]
        block.written = {index: {} for index in indices}
        block.open = set(indices)
        prompts = [
            (step.asked(block.samples[index]), Place(number, index, slot), draw)
            for index in indices
            for slot, (step, draw) in enumerate(drawn)
        ]
        # Like lengths together: less padding.
        prompts.sort(key=lambda prompt: (len(prompt[0]), prompt[1]))
        asked = [Asked(place, [{"role": "user", "content": text}], draw) for text, place, draw in prompts]
        for start in range(0, len(asked), self._batch_size):
            self._ready.append((number, start, asked[start : start + self._batch_size]))

    async def _check(self, place: Place, sample: Sample, slots: Sequence[Origin], answers: Sequence[Answered]) -> None:
        scored = await self._checks.candidates(sample, [answer.text for answer in answers])
        with self._changed:
            block = self._blocks[place.block]
            block.attempts[place.row] += map(attempt_of, slots, answers, scored)
            block.open.discard(place.row)
            if not block.open:
                failing = [i for i, attempts in enumerate(block.attempts) if not any(a.passed for a in attempts)]
                self._ask(place.block, block, failing)
            self._hand_over()

    async def _score_reference(self, number: int, index: int, sample: Sample) -> None:
        found = await self._checks.reference(sample)
        with self._changed:
            self._blocks[number].references[index] = found
            self._hand_over()

    def _hand_over(self) -> None:
        """Give the oldest blocks away for as long as they are settled."""
        while self._trouble is None and self._blocks and self._blocks[first := min(self._blocks)].is_settled:
            try:
                self._take(self._blocks[first].settled())
            except BaseException as error:
                # At once: nobody may hand the same block over again, a part of it may be written.
                self._trouble = error
                raise
            del self._blocks[first]
        self._changed.notify_all()

    def _spawn(self, work: Any) -> None:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.add_done_callback(self._note_trouble)

    def _note_trouble(self, future: Any) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            with self._changed:
                self._trouble = self._trouble or error
                self._changed.notify_all()
