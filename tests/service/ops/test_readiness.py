"""Readiness by real work: what it takes for a scorer to count as alive."""

import asyncio
import time

from rewright.service.ops.readiness import Readiness
from rewright.service.schema import Failed
from rewright.service.scorers.probe import probe
from rewright.service.scorers.verify.scorer import AnswerVerifier
from tests.plain_scorers import PlainNll, PlainVerifier, plain_scorers


class Deaf(PlainNll):
    async def score(self, groups, *, tokens=False):
        await asyncio.sleep(60)


def troubles(scorers, *, probe_after_s=30.0):
    return asyncio.run(Readiness(scorers, probe_after_s=probe_after_s).troubles())


def test_recent_work_needs_no_probe_and_idleness_gets_one():
    verify = PlainVerifier()
    verify._worked = time.monotonic()
    scorers = plain_scorers(verify=verify)
    assert troubles(scorers) == {} and verify.asked == []
    assert troubles(scorers, probe_after_s=0.0) == {} and len(verify.asked) == 1


def test_a_scorer_that_never_answers_is_named(monkeypatch):
    monkeypatch.setattr("rewright.service.ops.readiness.PROBE_TIMEOUT_S", 0.2)
    assert list(troubles(plain_scorers(nll=Deaf()))) == ["nll"]


def test_a_failed_probe_is_trouble():
    class Failing(PlainNll):
        def _failure(self, facts):
            return Failed.because("out_of_memory", "no room", retryable=True)

    assert troubles(plain_scorers(nll=Failing())) == {"nll": "no room"}


def test_a_probe_reaches_a_worker_every_time():
    async def scenario():
        verifier = AnswerVerifier(workers=1, cpu_s=5.0, memory_mb=1024, queue=10)
        await verifier.open()
        try:
            seen = []
            for _ in range(3):
                before = verifier.last_worked()
                (group,) = await verifier.score([probe()])
                assert group.candidates[0].correct is True
                assert verifier.last_worked() != before
                seen.append(verifier.last_worked())
            assert len(set(seen)) == 3
        finally:
            await verifier.close()

    asyncio.run(scenario())
