"""Kind 14, the clients' part: what the service could not do is held against no text, and no trainer goes on so."""

import asyncio
import json
import time

import pytest

from rewright.clients.adapters.trl import RewardFunction
from rewright.clients.cli.main import main
from rewright.clients.http_client import RewardClient
from rewright.service.errors import ScorerUnavailable
from rewright.service.schema import Failed, JudgeGroup, VerifyGroup
from rewright.trainer.data.samples import Sample
from rewright.trainer.errors import CorpusError
from rewright.trainer.evaluate.answer_checks import AnswerChecks
from rewright.trainer.evaluate.benchmarks import Question
from rewright.trainer.evaluate.folder import JsonLines
from rewright.trainer.runs.corpus_filters import untrusted_golds
from tests.clients.faulty_server import serve_faulty
from tests.live_server import serve_app
from tests.plain_scorers import PlainJudge, PlainVerifier, plain_scorers

FINAL = ("judge_rejected", "bad_gold", "not_finite", "scorer_off", "a_code_of_later")


class Refuses(PlainJudge):
    """As long as `refuses`, every text is turned away with this code, which calls itself final."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code, self.refuses = code, True

    def _group(self, group, tokens):
        if not self.refuses:
            return super()._group(group, tokens)
        failed = Failed.because(self.code, "HTTP 401", retryable=False)
        return JudgeGroup(id=group.id or "", candidates=[failed] * len(group.candidates))


class VerifierRefuses(PlainVerifier):
    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def _group(self, group, tokens):
        failed = Failed.because(self.code, "as the test says", retryable=False)
        return VerifyGroup(id=group.id or "", candidates=[failed] * len(group.candidates))


def step(rewards: RewardFunction, texts: list[str], groups: int = 2):
    size = len(texts)
    columns = {
        "prompts": [str(i * groups // size) for i in range(size)],
        "problem": ["p"] * size,
        "reference": ["r"] * size,
    }
    return asyncio.run(rewards(completions=texts, **columns))


@pytest.mark.parametrize("code", FINAL)
def test_a_step_in_which_nothing_could_be_scored_stops_the_trainer(code):
    with serve_app(plain_scorers(judge=Refuses(code))) as server:
        rewards = RewardFunction(server.url, num_generations=2, patience_s=5)
        with pytest.raises(ScorerUnavailable, match=rf"{code} 4 times \(HTTP 401\)"):
            step(rewards, ["nll=1", "nll=2", "nll=3", "nll=4"])


def test_what_may_pass_has_the_patience_first():
    scorers = plain_scorers()
    with serve_faulty(scorers) as server:
        rewards = RewardFunction(server.url, num_generations=2, patience_s=6)
        began = time.monotonic()
        with pytest.raises(ScorerUnavailable, match=r"within the patience of 6 s: out_of_memory 4 times"):
            step(rewards, ["fail=out_of_memory@nll"] * 4)
        # Four tries of one call take less: it is asked again until the patience is over.
        assert time.monotonic() - began > 4 and len(server.asked) > 4


def test_one_scored_candidate_is_enough_to_go_on():
    with serve_app(plain_scorers()) as server:
        rewards = RewardFunction(server.url, num_generations=2, patience_s=5)
        assert step(rewards, ["fail=bad_gold@verify", "fail=bad_gold@verify", "ans=0", "fail=not_finite@nll"]) == [
            None, None, 0.0, None,
        ]  # fmt: skip


@pytest.mark.parametrize("code", ["judge_rejected", "scorer_off", "unauthorized", "not_found", "internal"])
def test_score_writes_no_line_of_the_services_own_trouble(tmp_path, capfd, code):
    groups, out = tmp_path / "groups.jsonl", tmp_path / "rewards.jsonl"
    rows = [{"id": f"g{i}", "problem": "p", "reference": "r", "candidates": ["nll=1", "ans=0"]} for i in range(3)]
    groups.write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = Refuses(code)
    with serve_app(plain_scorers(judge=judge)) as server:
        command = ["score", str(groups), "--url", server.url, "--out", str(out)]
        assert main(command) == 1
        assert code in capfd.readouterr().err and out.read_text() == ""
        judge.refuses = False
        assert main(command) == 0
    assert out.read_text().count('"failed":0') == 3


def test_score_writes_a_refusal_of_that_very_text(tmp_path):
    groups, out = tmp_path / "groups.jsonl", tmp_path / "rewards.jsonl"
    texts = ["nll=1", "fail=judge_rejected@judge"]
    groups.write_text(json.dumps({"id": "g", "problem": "p", "reference": "r", "candidates": texts}) + "\n")

    class Final(PlainJudge):
        def _failure(self, facts):
            failed = super()._failure(facts)
            return failed and Failed.because(failed.error.code, "this text", retryable=False)

    with serve_app(plain_scorers(judge=Final())) as server:
        assert main(["score", str(groups), "--url", server.url, "--out", str(out)]) == 1
    assert "judge_rejected" in out.read_text()


def test_an_evaluation_keeps_no_verdict_of_the_services_own_trouble(tmp_path):
    question = Question("q", "b", None, "x", None, "1")
    row = {"id": "q", "benchmark": "b", "text": "1", "n_tokens": 1, "finish_reason": "stop"}
    for code, kept in (("scorer_off", False), ("internal", False), ("bad_gold", True)):
        verdicts = JsonLines(tmp_path / f"{code}.jsonl")
        with (
            serve_app(plain_scorers(verify=VerifierRefuses(code))) as server,
            RewardClient(server.url) as client,
            verdicts,
        ):
            with AnswerChecks(client, verdicts, {"q": question}) as checks:
                checks.add(row)
            assert ("q" in verdicts.rows) == kept and (checks.trouble is None) == kept


@pytest.mark.parametrize("code", ["scorer_off", "internal"])
def test_a_corpus_leaves_no_sample_out_for_the_services_own_trouble(code):
    verifier = VerifierRefuses(code)
    with serve_app(plain_scorers(verify=verifier)) as server, RewardClient(server.url) as client:
        refusals = untrusted_golds(client)
        with pytest.raises(CorpusError, match=code):
            refusals([Sample("s", "p", "r", "1", "x")])
