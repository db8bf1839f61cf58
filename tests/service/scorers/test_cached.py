"""Scores remembered before a scorer: what is asked again, what is not, and a shared store that comes and goes."""

import asyncio

from rewright.service.schema import Group, NllGroup
from rewright.service.scorers.caching.scorer import CachedScorer
from rewright.service.scorers.caching.store import SharedStore
from rewright.service.scorers.judge.spec import SPEC as JUDGE
from rewright.service.scorers.nll.spec import SPEC as NLL
from tests.live_server import free_port
from tests.plain_scorers import PlainJudge, PlainNll
from tests.waiting import until_so


def cached_nll(inner: PlainNll, *, entries: int = 100, shared: SharedStore | None = None) -> CachedScorer[NllGroup]:
    return CachedScorer(inner, NLL, entries=entries, shared=shared)


def group(
    *candidates: str, problem: str = "p", reference: str = "r", answer: str | None = None, name: str = "g"
) -> Group:
    return Group(id=name, problem=problem, reference=reference, answer=answer, candidates=list(candidates))


def test_a_text_is_scored_once_and_failures_are_asked_again():
    async def scenario():
        inner = PlainNll()
        nll = cached_nll(inner)
        await nll.open()
        bad = "fail=out_of_memory@nll"
        first = await nll.score([group("nll=1", "nll=1", "nll=2", bad)])
        again = await nll.score([group(bad, "nll=2", "nll=3", "nll=1", name="h")])
        assert inner.asked == ["nll=1", "nll=2", bad, bad, "nll=3"]
        assert [c.nll for c in first[0].candidates[:3]] == [1.0, 1.0, 2.0]
        assert first[0].candidates[3].status == again[0].candidates[0].status == "failed"
        assert [c.nll for c in again[0].candidates[1:]] == [2.0, 3.0, 1.0] and again[0].id == "h"
        assert nll.cache_state()[:3] == (2, 0, 5)

    asyncio.run(scenario())


def test_another_problem_another_model_and_tokens_are_not_answered_from_memory():
    async def scenario():
        inner = PlainNll()
        nll = cached_nll(inner)
        await nll.open()
        await nll.score([group("nll=1")])
        await nll.score([group("nll=1", problem="q")])
        (with_tokens,) = await nll.score([group("nll=1")], tokens=True)
        assert len(inner.asked) == 3 and len(with_tokens.candidates[0].tokens) == 2

        judge_inner = PlainJudge()
        judge = CachedScorer(judge_inner, JUDGE, entries=10, shared=None)
        await judge.open()
        await judge.score([group("rea=1")])
        await judge.score([group("rea=1", reference="another")])
        await judge.score([group("rea=1", answer="another")])
        await judge.score([group("rea=1")])
        assert len(judge_inner.asked) == 3

    asyncio.run(scenario())


def test_the_least_recently_used_is_forgotten():
    async def scenario():
        inner = PlainNll()
        nll = cached_nll(inner, entries=2)
        await nll.open()
        for text in ("nll=1", "nll=2", "nll=1", "nll=3", "nll=1", "nll=2"):
            await nll.score([group(text)])
        assert inner.asked == ["nll=1", "nll=2", "nll=3", "nll=2"]

    asyncio.run(scenario())


def test_the_same_text_at_the_same_time_is_scored_once_even_when_the_first_caller_leaves():
    async def scenario():
        inner = PlainNll(delay=0.1)
        nll = cached_nll(inner)
        await nll.open()
        first = asyncio.create_task(nll.score([group("nll=1")]))
        second = asyncio.create_task(nll.score([group("nll=1")]))
        await asyncio.gather(first, second)
        assert inner.asked == ["nll=1"]
        leaving = asyncio.create_task(nll.score([group("nll=4")]))
        staying = asyncio.create_task(nll.score([group("nll=4")]))
        await until_so(lambda: inner.begun == 2)
        leaving.cancel()
        assert (await staying)[0].candidates[0].nll == 4.0

    asyncio.run(scenario())


def test_pods_share_scores_through_redis(redis_url):
    async def scenario():
        one, two = PlainNll(), PlainNll()
        for inner, asked in ((one, ["nll=1"]), (two, [])):
            nll = cached_nll(inner, shared=SharedStore(redis_url))
            await nll.open()
            assert (await nll.score([group("nll=1")]))[0].candidates[0].nll == 1.0
            assert inner.asked == asked
            assert nll.cache_state().errors == 0
            await nll.close()

    asyncio.run(scenario())


def test_without_redis_scores_are_computed_and_the_failures_counted():
    async def scenario():
        inner = PlainNll()
        nll = cached_nll(inner, shared=SharedStore(f"redis://127.0.0.1:{free_port()}/0"))
        await nll.open()
        for _ in range(3):
            assert (await nll.score([group("nll=1", "nll=2")]))[0].candidates[1].nll == 2.0
        assert nll.cache_state().errors == 1 and len(inner.asked) == 2
        await nll.close()

    asyncio.run(scenario())
