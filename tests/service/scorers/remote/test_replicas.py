"""Several pods behind one remote scorer: spreading, sticking, losing one and getting it back."""

import asyncio
import signal
from contextlib import ExitStack

import pytest

from rewright.service.backoff import Backoff
from rewright.service.core.request_context import due_in, request_id
from rewright.service.errors import Overloaded, ScorerUnavailable
from rewright.service.schema import Group, NllGroup
from rewright.service.scorers.remote import health, replicas
from rewright.service.scorers.remote import scorer as remote
from rewright.service.scorers.remote.scorer import RemoteScorer
from rewright.service.settings import Settings
from tests.bench.serving_processes import pods
from tests.live_server import free_port, serve_app
from tests.plain_scorers import NEVER, PlainNll, plain_scorers
from tests.waiting import PATIENCE_S, until_so

PATIENCE_IN_USE_S = remote.PATIENCE_S
OFF = dict.fromkeys(("verify", "judge", "nll", "diversity"))


def groups(count, *, start=0):
    numbers = range(start, start + count)
    return [Group(id=f"g{n}", problem=f"problem {n}", candidates=["nll=1", "nll=2"]) for n in numbers]


def run(urls, scenario, **options):
    async def opened():
        scorer = RemoteScorer("nll", NllGroup, urls=urls, timeout_s=PATIENCE_S, **options)
        await scorer.open()
        try:
            return await scenario(scorer)
        finally:
            await scorer.close()

    return asyncio.run(opened())


@pytest.fixture
def impatient(monkeypatch):
    """Work waits a moment for a replica while none is well."""
    monkeypatch.setattr(remote, "PATIENCE_S", 0.3)


@pytest.fixture
def three():
    """Three pods in threads of this process, and what each was asked."""
    inner = [PlainNll() for _ in range(3)]
    with ExitStack() as stack:
        servers = [stack.enter_context(serve_app(plain_scorers(**{**OFF, "nll": nll}))) for nll in inner]
        yield [server.url for server in servers], inner


def test_work_is_spread_and_comes_back_in_order(three):
    urls, inner = three

    async def scenario(scorer):
        asked = groups(300)
        found = await scorer.score(asked)
        assert [g.id for g in found] == [g.id for g in asked]
        assert [c.nll for c in found[7].candidates] == [1.0, 2.0]
        assert scorer.replica_state() == (3, 0, 0, 0)

    run([",".join(urls[:1]), *urls[1:]], scenario)
    assert all(len(nll.asked) >= 100 for nll in inner)


def test_the_same_problem_goes_to_the_same_replica(three):
    urls, inner = three

    async def scenario(scorer):
        seen = []
        for _ in range(3):
            for group in groups(12):
                before = [len(nll.asked) for nll in inner]
                await scorer.score([group])
                (place,) = (n for n, nll in enumerate(inner) if len(nll.asked) > before[n])
                seen.append(place)
        assert seen[:12] == seen[12:24] == seen[24:] and len(set(seen)) > 1

    run(urls, scenario, sticky=True)


def test_a_busy_replica_is_left_in_peace_and_the_work_goes_elsewhere(three):
    urls, inner = three
    inner[0].trouble = Overloaded("full", retry_after=30)

    async def scenario(scorer):
        assert all(c.status == "scored" for g in await scorer.score(groups(60)) for c in g.candidates)
        for nll in inner[1:]:
            nll.trouble = inner[0].trouble
        with due_in(2), pytest.raises(Overloaded):
            await scorer.score(groups(1, start=90))

    run(urls, scenario)


def test_a_group_that_every_replica_fails_ends_as_unavailable(three):
    urls, inner = three
    for nll in inner:
        nll.trouble = ValueError("a bug")

    async def scenario(scorer):
        with pytest.raises(ScorerUnavailable, match="tried 3 times"):
            await scorer.score(groups(1))
        assert scorer.replica_state().retries == 2

    run(urls, scenario)


def test_a_dead_pod_is_passed_over_and_taken_back(three):
    urls, _ = three
    port = free_port()

    async def scenario(scorer):
        assert all(c.status == "scored" for g in await scorer.score(groups(50)) for c in g.candidates)
        await scorer.score(groups(50, start=50))
        await until_so(lambda: scorer.replica_state().well == 3)
        late = PlainNll()
        with serve_app(plain_scorers(**{**OFF, "nll": late}), port=port):
            await until_so(lambda: not scorer.replica_state().away)
            await scorer.score(groups(200))
            assert late.asked

    run([*urls, f"http://127.0.0.1:{port}"], scenario)


def test_a_name_stands_for_all_its_addresses_and_nobody_there_is_said_long_before_the_deadline(impatient):
    async def scenario(scorer):
        with pytest.raises(ScorerUnavailable, match="no replica answers"):
            await scorer.score(groups(3))

    run([f"http://localhost:{free_port()}"], scenario)
    run(["http://no-such-name.invalid:80"], scenario)


def test_a_pod_that_came_up_after_long_absence_is_there_for_the_next_call(monkeypatch, impatient):
    """However long it was away: without a longest rest, the twenty misses here would make the next one of days."""
    assert replicas.REST.longest_s + health.HEALTH_S + remote.TEND_EVERY_S <= PATIENCE_IN_USE_S
    monkeypatch.setattr(replicas, "REST", Backoff(first_s=0.02, longest_s=0.02))
    monkeypatch.setattr(remote, "TEND_EVERY_S", 0.02)
    port = free_port()

    async def scenario(scorer):
        with pytest.raises(ScorerUnavailable):
            await scorer.score(groups(1))
        (pod,) = scorer._replicas
        await until_so(lambda: pod._failures > 20)
        monkeypatch.setattr(remote, "PATIENCE_S", PATIENCE_S)
        with serve_app(plain_scorers(**{**OFF, "nll": PlainNll()}), port=port):
            (found,) = await scorer.score(groups(1))
        assert [c.nll for c in found.candidates] == [1.0, 2.0]

    run([f"http://127.0.0.1:{port}"], scenario)


def test_ids_deadlines_and_keys_travel():
    nll = PlainNll(delay=NEVER)
    seen = []

    class Noting(PlainNll):
        async def score(self, groups, *, tokens=False):
            seen.append(request_id.get())
            return await super().score(groups, tokens=tokens)

    settings = Settings(api_keys="pod-key")
    with (
        serve_app(plain_scorers(**{**OFF, "nll": Noting()}), settings) as noting,
        serve_app(plain_scorers(**{**OFF, "nll": nll}), settings) as slow,
    ):

        async def scenario(scorer):
            request_id.set("job-7")
            await scorer.score(groups(1))

        run([noting.url], scenario, api_key="pod-key")
        assert seen == ["job-7"]
        with pytest.raises(ScorerUnavailable, match="401"):
            run([noting.url], scenario)

        async def hurried(scorer):
            with due_in(0.5):
                (found,) = await scorer.score(groups(1))
            assert {c.error.code for c in found.candidates} == {"deadline"}

        run([slow.url], hurried, api_key="pod-key")


def test_work_that_nobody_waits_for_is_dropped_at_the_pod():
    nll = PlainNll(delay=NEVER)
    with serve_app(plain_scorers(**{**OFF, "nll": nll})) as server:

        async def scenario(scorer):
            asking = asyncio.create_task(scorer.score(groups(2)))
            await until_so(lambda: nll.begun)
            asking.cancel()
            await until_so(lambda: nll.cancelled)
            assert scorer.queue_state().waiting == 0

        run([server.url], scenario)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_replica_lost_under_load_costs_no_request(how, monkeypatch):
    monkeypatch.setenv("REWRIGHT_LEAVE_S", "0")
    with pods(2, "--batch-ms", "20") as servers:

        async def scenario(scorer):
            asking = [asyncio.create_task(scorer.score(groups(40, start=40 * n))) for n in range(8)]
            await until_so(lambda: scorer.queue_state().batches)
            servers[0].send(how)
            found = [c for answer in await asyncio.gather(*asking) for g in answer for c in g.candidates]
            assert len(found) == 640 and all(c.status == "scored" for c in found)
            assert scorer.replica_state()[:2] == (1, 1)

        run([server.url for server in servers], scenario)
