"""timeout_s and the deadline bound all of a wait, and what was asked bounds an answer's size."""

import asyncio
import functools
import gzip
import json
import struct
import time
import tracemalloc
import zlib

import httpx
import pytest

from rewright.service.core.bounded_read import AnswerRefused, exchange
from rewright.service.core.request_context import due_in
from rewright.service.errors import ScorerUnavailable
from rewright.service.schema import Group
from tests.plain_scorers import PlainNll
from tests.trouble.odd_pod import Reply, groups, nlls, odd_pod, remote_nll, run

LONG_S = 15.0
"""Far more than the second that is allowed, far less than what would be waited without a bound."""


def test_work_that_waits_in_the_gateway_is_bounded_by_the_timeout():
    """Ten times what fits under way at the pod, which takes a minute for each post."""
    with odd_pod(nll=(nll := PlainNll(delay=60))) as pod:

        async def scenario(scorer):
            before = time.monotonic()
            with pytest.raises(ScorerUnavailable, match="timeout_s"):
                await scorer.score(groups(1280))
            assert time.monotonic() - before < LONG_S
            assert scorer.queue_state().waiting == 0

        run(remote_nll(pod.url, timeout_s=1.0), scenario)
    assert nll.cancelled, "what nobody waits for is dropped at the pod"


class FirstAlone(PlainNll):
    """Answers so many candidates, and hangs with the rest."""

    async def score(self, groups, *, tokens=False):
        self.delay = 0 if len(self.asked) < 256 else 60
        return await super().score(groups, tokens=tokens)


def test_what_was_done_in_time_is_given_and_the_rest_fails():
    with odd_pod(nll=FirstAlone()) as pod:

        async def scenario(scorer):
            before = time.monotonic()
            found = nlls(await scorer.score(groups(20, size=64)))
            assert time.monotonic() - before < LONG_S
            done = [group for group in found if group[0] == 1.0]
            late = [group for group in found if group[0] == "scorer_unavailable"]
            assert done and late and len(done) + len(late) == 20

        run(remote_nll(pod.url, timeout_s=3.0), scenario)


def test_the_requests_deadline_counts_where_it_is_sooner():
    with odd_pod(nll=PlainNll(delay=60)) as pod:

        async def scenario(scorer):
            before = time.monotonic()
            with due_in(1.0):
                found = await scorer.score(groups(600))
            assert {code for group in nlls(found) for code in group} == {"deadline"}
            assert all(c.error.retryable for g in found for c in g.candidates)
            assert time.monotonic() - before < LONG_S

        run(remote_nll(pod.url, timeout_s=100.0), scenario)


def test_a_pod_that_drips_is_given_up():
    def dripping(path, reply):
        if path != "/v1/nll":
            return reply
        body = b"".join(reply.pieces)
        return Reply(reply.status, reply.headers, [body[k : k + 1] for k in range(len(body))], pause_s=0.3)

    with odd_pod(dripping, nll=PlainNll()) as pod:

        async def scenario(scorer):
            before = time.monotonic()
            with pytest.raises(ScorerUnavailable):
                await scorer.score(groups(1))
            assert time.monotonic() - before < LONG_S

        run(remote_nll(pod.url, timeout_s=1.5), scenario)


def bomb(path, reply):
    """A gigabyte in a megabyte."""
    if path != "/v1/nll":
        return reply
    return Reply(200, {**reply.headers, "content-encoding": "gzip"}, [gzip_of_spaces(1024)])


@functools.cache
def gzip_of_spaces(mebibytes: int) -> bytes:
    """One member, as a reader unpacks no second one; its blocks are all the same."""
    block = b" " * (1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = functools.reduce(lambda crc, _: zlib.crc32(block, crc), range(mebibytes), 0)
    head, end = gzip.compress(b"")[:10], zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS).flush()
    return head + packed * mebibytes + end + struct.pack("<II", checksum, mebibytes << 20)


def endless(path, reply):
    return Reply(200, reply.headers, [b" " * (1 << 20)] * 200) if path == "/v1/nll" else reply


@pytest.mark.parametrize("change", [bomb, endless])
def test_an_answer_beyond_what_was_asked_is_not_read(change):
    with odd_pod(change, nll=PlainNll()) as bad, odd_pod(nll=PlainNll()) as good:
        if change is bomb:
            assert len(gzip.decompress(gzip_of_spaces(2))) == 2 << 20

        async def alone(scorer):
            tracemalloc.start()
            with pytest.raises(ScorerUnavailable, match="answered"):
                await scorer.score(groups(1))
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 400 << 20  # the pod, which holds the whole answer, is in this process too

        async def beside(scorer):
            assert nlls(await scorer.score(groups(10))) == [[1.0, 2.0]] * 10

        run(remote_nll(bad.url), alone)
        run(remote_nll(bad.url, good.url), beside)


def test_long_answers_that_were_asked_for_are_read():
    class Wordy(PlainNll):
        def _group(self, group, tokens):
            result = super()._group(group, tokens)
            token = (
                result.candidates[0]
                .tokens[0]
                .model_copy(update={"text": "\u0000" * 3, "logprob": -0.12345678901234567})
            )
            items = [
                item.model_copy(update={"tokens": [token] * len(text)})
                for item, text in zip(result.candidates, group.candidates, strict=True)
            ]
            return result.model_copy(update={"candidates": items})

    with odd_pod(nll=Wordy()) as pod:

        async def scenario(scorer):
            long = Group(id="g", problem="p", candidates=["nll=1 " + "a" * 20_000] * 4)
            (found,) = await scorer.score([long], tokens=True)
            assert len(found.candidates[0].tokens) == 20_006

        run(remote_nll(pod.url), scenario)


@pytest.mark.parametrize(("size", "most", "fits"), [(1000, 1000, True), (1001, 1000, False), (0, 0, True)])
def test_an_answer_is_read_up_to_the_bound_and_not_a_byte_further(size, most, fits):
    def sized(path, reply):
        return Reply(200, {}, [b"a" * size])

    with odd_pod(sized) as pod:

        async def scenario():
            async with httpx.AsyncClient(base_url=pod.url) as client:
                request = client.build_request("GET", "/anything")
                if fits:
                    answer = await exchange(client, request, most=most)
                    assert (answer.status, len(answer.content)) == (200, size)
                    assert request.headers["accept-encoding"] == "identity"
                else:
                    with pytest.raises(AnswerRefused, match=str(most)):
                        await exchange(client, request, most=most)

        asyncio.run(scenario())


def test_an_error_without_end_is_no_more_than_an_error():
    def long_error(path, reply):
        return Reply(422, reply.headers, [json.dumps({"error": {"code": "x" * 100_000}}).encode()])

    with odd_pod(long_error, nll=PlainNll()) as pod:

        async def scenario(scorer):
            with pytest.raises(ScorerUnavailable) as raised:
                await scorer.score(groups(1))
            assert len(raised.value.message) < 1000

        run(remote_nll(pod.url, timeout_s=5.0), scenario)
