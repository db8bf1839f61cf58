"""The stream between model and service, driven by hand: how much is held, in which order, and what trouble does."""

import asyncio
import threading

import pytest

from rewright.clients.wire import RewardScored
from rewright.trainer.build.rows import ReferenceNll
from rewright.trainer.build.stream import BuildStream, Step
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.samples import Sample
from rewright.trainer.errors import RunFolderError, ServiceTrouble
from rewright.trainer.generation.base import Answered

SOLVE = Step("self_solve", Prompt("solve", "{{problem}}"))
REWRITE = Step("rewrite", Prompt("rewrite", "{{problem}} {{solution}}"))
SIGNALS = {"n_tokens": 1, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.0}


class Checks:
    """The service's part, in process: what `passes` says passes; `held` problems wait until they are let go."""

    def __init__(self, passes=lambda text: True, held=()):
        self.passes = passes
        self.gate = {problem: asyncio.Event() for problem in held}
        self.trouble = None
        self.groups = []

    async def candidates(self, sample, texts):
        if sample.problem in self.gate:
            await self.gate[sample.problem].wait()
        if self.trouble:
            raise self.trouble
        self.groups.append((sample.id, list(texts)))
        passed = [self.passes(text) for text in texts]
        return [
            RewardScored(total=float(p), gate="open" if p else "wrong", r_task=int(p), signals=SIGNALS) for p in passed
        ]

    async def reference(self, sample):
        return ReferenceNll(1.0)


@pytest.fixture
def loop():
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join()
    made.close()


def samples(count, read):
    for n in range(count):
        read.append(n)
        yield Sample(f"p{n}", f"problem {n}", f"solution {n}", None, "test")


def stream(loop, checks, taken, *, count=24, rounds=((REWRITE,),), read=None, window=2, take=None):
    return BuildStream(
        samples(count, read if read is not None else []),
        rounds,
        checks,
        loop,
        take or taken.extend,
        batch_size=2,
        block_size=4,
        window=window,
    )


def answer_all(source, text=lambda asked: "text"):
    asked = []
    while (batch := source.next_batch(wait=True)) is not None:
        asked.append([(a.key.block, a.messages[0]["content"]) for a in batch])
        for a in batch:
            source.answered(Answered(a.key, text(a), 1, "stop"))
    return asked


def test_rows_come_in_order_and_no_more_than_the_window_is_held(loop):
    taken, read = [], []
    checks = Checks(held=["problem 1"])
    source = stream(loop, checks, taken, read=read)
    for _ in range(4):
        for a in source.next_batch(wait=True):
            source.answered(Answered(a.key, "text", 1, "stop"))
    assert source.next_batch(wait=False) == ()
    assert len(read) == 8 and taken == []
    loop.call_soon_threadsafe(checks.gate["problem 1"].set)
    answer_all(source)
    assert [settled.sample.id for settled in taken] == [f"p{n}" for n in range(24)]


def test_what_did_not_pass_is_asked_again_before_new_blocks_and_in_batches_of_its_block_alone(loop):
    taken = []
    checks = Checks(passes=lambda text: text == "well")
    odd = {f"problem {n}" for n in range(1, 24, 2)}
    source = stream(loop, checks, taken, rounds=((SOLVE,), (REWRITE,)), window=1)
    asked = answer_all(source, lambda a: "badly" if a.messages[0]["content"] in odd else "well")
    assert [batch[0][0] for batch in asked] == [block for block in range(6) for _ in range(3)]
    assert [text for _, text in asked[2]] == ["problem 1 solution 1", "problem 3 solution 3"]
    assert [[a.step for a in s.attempts] for s in taken[:2]] == [["self_solve"], ["self_solve", "rewrite"]]


def test_all_candidates_of_a_round_are_asked_with_draws_of_their_own_and_scored_as_one_group(loop):
    taken, draws = [], []
    checks = Checks()
    source = stream(loop, checks, taken, count=3, rounds=((REWRITE._replace(draws=2), SOLVE),), window=1)
    while (batch := source.next_batch(wait=True)) is not None:
        assert len(batch) <= 2
        for a in reversed(batch):
            draws.append((a.key.row, a.key.slot, a.draw))
            source.answered(Answered(a.key, f"{a.messages[0]['content']} {a.draw}", 1, "stop"))
    assert sorted(draws) == [(row, slot, draw) for row in range(3) for slot, draw in ((0, 0), (1, 1), (2, 0))]
    assert dict(checks.groups) == {
        f"p{n}": [f"problem {n} solution {n} 0", f"problem {n} solution {n} 1", f"problem {n} 0"] for n in range(3)
    }
    assert [[a.step for a in settled.attempts] for settled in taken] == [["rewrite", "rewrite", "self_solve"]] * 3


def test_trouble_of_the_service_ends_the_stream_and_gives_no_row(loop):
    taken = []
    checks = Checks()
    source = stream(loop, checks, taken)
    checks.trouble = ServiceTrouble("away")
    with pytest.raises(ServiceTrouble, match="away"):
        answer_all(source)
    assert taken == []


def test_a_block_that_could_not_be_written_is_not_handed_over_again(loop):
    times = []

    def full_disk(block):
        times.append(block)
        raise RunFolderError("full")

    source = stream(loop, Checks(), [], take=full_disk, window=4)
    with pytest.raises(RunFolderError):
        answer_all(source)
    assert len(times) == 1


def test_a_method_without_steps_asks_nothing_and_gives_every_sample(loop):
    taken = []
    stream(loop, Checks(), taken, rounds=()).drain()
    assert len(taken) == 24 and all(settled.attempts == [] for settled in taken)
