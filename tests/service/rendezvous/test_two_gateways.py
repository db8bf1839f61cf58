"""Two gateways and one that dies between its answers: nobody is told "no reward" whose siblings have rewards."""

import asyncio
import hashlib
import random
import signal
import subprocess
import sys

import httpx
import pytest

from rewright.clients.http_client import RewardClient
from rewright.clients.rendezvous import AsyncRendezvous, PartedGroup
from rewright.service.schema.member import INCOMPLETE
from rewright.service.settings import CacheSettings, RendezvousSettings, Settings
from tests.live_server import free_port, serve_app
from tests.plain_scorers import plain_scorers

OF_PROBLEM = {"problem": "p", "reference": "r", "answer": "42"}
PATH = "/v1/rendezvous/reward"
TEXTS = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]


def settings(redis_url=None):
    return Settings(rendezvous=RendezvousSettings(deadline_s=120), cache=CacheSettings(redis_url=redis_url))


def batched(server, texts):
    with RewardClient(server.url, deadline_s=30) as client:
        return [item.total for item in client.reward([{**OF_PROBLEM, "candidates": texts}]).groups[0].candidates]


def bodies(group, **more):
    return [
        {"group": group, "size": len(TEXTS), "member": str(k), "candidate": text, **OF_PROBLEM, **more}
        for k, text in enumerate(TEXTS)
    ]


def first_at(url, other):
    """A group's key that meets at `url`."""

    def place(key, at):
        return hashlib.blake2b(f"{key}\0{at}".encode()).digest()

    return next(key for key in map(str, range(99)) if place(key, url) < place(key, other))


async def message(reader):
    """One HTTP message with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return head + await reader.readexactly(length)


class DiesAfter:
    """An address before a gateway that passes so many answers on and is then gone, as a killed process is."""

    def __init__(self, url, answers):
        self.target, self.left = httpx.URL(url), answers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        behind_reader, behind = await asyncio.open_connection(self.target.host, self.target.port)
        behind.write(await message(reader))
        answer = await message(behind_reader)
        if self.left:
            self.left -= 1
            writer.write(answer)
            await writer.drain()
        else:
            self.server.close()
        for end in (writer, behind):
            end.close()


async def meet(dying, survivor, *, again):
    """The four members of one group: answers and errors."""
    meeting = AsyncRendezvous([dying.url, survivor.url], deadline_s=3, piece_s=2)
    key = first_at(dying.url, survivor.url)
    calls = [
        meeting.reward(group=key, size=4, member=f"m{k}", candidate=text, again=again, **OF_PROBLEM)
        for k, text in enumerate(TEXTS)
    ]
    return await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("again", [False, True])
def test_members_not_answered_yet_learn_what_was_settled_from_the_other_gateway(redis_url, again):
    async def run(first, second):
        async with DiesAfter(first.url, answers=2) as dying:
            return await meet(dying, second, again=again)

    with (
        serve_app(plain_scorers(), settings(redis_url)) as first,
        serve_app(plain_scorers(), settings(redis_url)) as second,
    ):
        told = asyncio.run(run(first, second))
        assert [answer.candidate.total for answer in told] == batched(second, TEXTS)
        assert all(answer.agreed for answer in told)


def test_without_a_shared_store_they_get_an_error_and_no_number():
    async def run(first, second):
        async with DiesAfter(first.url, answers=2) as dying:
            return await meet(dying, second, again=False)

    with serve_app(plain_scorers(), settings()) as first, serve_app(plain_scorers(), settings()) as second:
        told = asyncio.run(run(first, second))
        totals = batched(second, TEXTS)
    parted = [k for k, answer in enumerate(told) if isinstance(answer, PartedGroup)]
    assert len(parted) == 2 and all(told[k].retryable for k in parted)
    assert all(told[k].candidate.total == totals[k] for k in range(4) if k not in parted)


def test_whoever_settles_a_group_first_is_believed_by_all(redis_url):
    async def run(one, other):
        async with httpx.AsyncClient(timeout=60) as http:
            here = [http.post(one.url + PATH, json=body) for body in bodies("shared", deadline_s=2)[:3]]
            there = http.post(other.url + PATH, json=bodies("shared", deadline_s=0.3)[3])
            answers = [response.json() for response in await asyncio.gather(*here, there)]
            late = await http.post(one.url + PATH, json=bodies("shared")[3])
            return [*answers, late.json()]

    with (
        serve_app(plain_scorers(), settings(redis_url)) as one,
        serve_app(plain_scorers(), settings(redis_url)) as other,
    ):
        for answer in asyncio.run(run(one, other)):
            assert answer["candidate"]["error"]["code"] == INCOMPLETE and answer["agreed"]
            # What the other gateway saw, though three were here.
            assert answer["failed"] == 4


@pytest.mark.parametrize("shared", [True, False])
def test_many_callers_and_a_gateway_that_is_killed(redis_url, shared):
    """Groups of four from 64 callers in random order, lost members, repeats; `make bench-rendezvous` has many more."""
    groups, size, callers = 60, 4, 64
    randomly = random.Random(1)
    texts = {
        g: [f"nll={0.5 + 0.1 * k + 0.01 * (g % 7):.3f} e={0.1 * k:.2f} ans={int((g + k) % 5 > 0)}" for k in range(size)]
        for g in range(groups)
    }
    lost = {(g, 0) for g in range(0, groups, 20)}
    work = [(g, k) for g in range(groups) for k in range(size) if (g, k) not in lost]
    work += randomly.sample(work, len(work) // 10)
    # Members of a group come near one another, as rollouts do, and in no order within that.
    work.sort(key=lambda place: place[0] + randomly.uniform(0, 12))
    code = (
        "import sys; from tests.live_server import serve_app; from tests.plain_scorers import plain_scorers\n"
        "from tests.service.rendezvous.test_two_gateways import settings\n"
        "with serve_app(plain_scorers(), settings(sys.argv[2] or None), port=int(sys.argv[1])):\n"
        "    print('up', flush=True); sys.stdin.read()"
    )
    port, url = free_port(), redis_url if shared else None
    told = {}
    with serve_app(plain_scorers(), settings(url)) as survivor:
        dying = subprocess.Popen(
            [sys.executable, "-c", code, str(port), url or ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert dying.stdout.readline() == "up\n"
            urls = [survivor.url, f"http://127.0.0.1:{port}"]
            # Only a group that loses a member may come to its deadline, however slow the machine is.
            whole = AsyncRendezvous(urls, deadline_s=100, piece_s=2)
            parted = AsyncRendezvous(urls, deadline_s=8, piece_s=2)

            async def caller(queue):
                while queue:
                    g, k = queue.pop(0)
                    meeting = parted if (g, 0) in lost else whole
                    call = meeting.reward(group=f"g{g}", size=size, member=str(k), candidate=texts[g][k], **OF_PROBLEM)
                    (answer,) = await asyncio.gather(call, return_exceptions=True)
                    told.setdefault((g, k), []).append(answer)
                    if len(told) == len(work) // 3:
                        dying.send_signal(signal.SIGKILL)

            async def run():
                queue = list(work)
                await asyncio.gather(*(caller(queue) for _ in range(callers)))

            asyncio.run(run())
        finally:
            dying.kill()
            dying.wait()
        assert set(told) == set(work)
        for g in range(groups):
            expected = batched(survivor, texts[g])
            answers = {k: answer for k in range(size) for answer in told.get((g, k), [])}
            errors = [answer for answer in answers.values() if isinstance(answer, BaseException)]
            assert all(isinstance(error, PartedGroup) for error in errors) and not (shared and errors)
            for k, answer in answers.items():
                if answer in errors:
                    continue
                if (g, 0) in lost:
                    assert answer.candidate.total is None and answer.candidate.error.code == INCOMPLETE
                else:
                    assert answer.candidate.total == pytest.approx(expected[k], abs=1e-9)
        lines = httpx.get(f"{survivor.url}/metrics").text.splitlines()
        assert "rewright_rendezvous_groups 0.0" in lines and "rewright_rendezvous_members 0.0" in lines
