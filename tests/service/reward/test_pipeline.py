"""The way through the gate: who is asked for what, and what becomes of trouble on the way."""

import asyncio

import pytest

from rewright.service.errors import Overloaded, ScorerOff, ScorerUnavailable
from rewright.service.reward.pipeline import reward_groups, wanted_scorers
from rewright.service.schema import Group, RewardFailed, RewardScored, Rule
from tests.plain_scorers import PlainDiversity, PlainJudge, PlainNll, PlainVerifier, plain_scorers
from tests.waiting import until_so


def group(*candidates: str, name: str = "g") -> Group:
    return Group(id=name, problem="p", reference="r", candidates=list(candidates))


def run(groups, rule=None, scorers=None):
    return asyncio.run(reward_groups(groups, rule or Rule(), scorers or plain_scorers()))


def test_each_scorer_is_asked_only_for_what_the_gate_leaves():
    four = {"verify": PlainVerifier(), "judge": PlainJudge(), "nll": PlainNll(), "diversity": PlainDiversity()}
    candidates = ["  ", "ans=0 k=1", "rea=0 k=2", "nll=0.5 k=3", "control=1 k=4", "fail=too_long@nll k=5"]
    (result,) = run([group(*candidates)], scorers=plain_scorers(**four))
    assert four["verify"].asked == candidates[1:]
    assert four["judge"].asked == candidates[2:]
    assert four["nll"].asked == candidates[3:]
    assert four["diversity"].asked == [candidates[3]]
    assert [c.gate for c in result.candidates] == ["blank", "wrong", "invalid", "open", "control_tokens", "too_long"]


def test_soft_asks_for_every_candidate_that_can_be_scored():
    nll, diversity = PlainNll(), PlainDiversity()
    candidates = ["", "ans=0 nll=1", "rea=0 nll=2", "nll=3 e=1"]
    (result,) = run([group(*candidates)], Rule(variant="soft"), plain_scorers(nll=nll, diversity=diversity))
    assert nll.asked == diversity.asked == candidates[1:]
    assert result.nll_mean == pytest.approx(2.0)
    assert all(c.total > 0 for c in result.candidates[1:]) and result.candidates[0].total == 0.0
    assert [c.r_task for c in result.candidates] == [0, 0, 0, 1]


SOUND = "One crate holds 12 jars, so four of them hold 4 * 12 = 48 jars in all"
FALSE = "One crate holds 12 jars, so four of them hold 4 * 12 = 47 jars in all"
BARE = "The answer is 48."


@pytest.mark.parametrize(("reasoning", "sound"), [("checks", [1, 0, 0]), ("off", [1, 1, 1])])
def test_without_a_judge_reasoning_is_checked_or_passes(reasoning, sound):
    candidates = [f"{SOUND} ans=1", f"{FALSE} ans=1", f"{BARE}", f"{SOUND} ans=0"]
    (result,) = run([group(*candidates)], Rule(reasoning=reasoning), plain_scorers(judge=None))
    assert [c.v_ans for c in result.candidates] == [1, 1, 1, 0]
    assert [c.v_rea for c in result.candidates] == [*sound, None]
    assert [c.gate for c in result.candidates] == [("invalid", "open")[v] for v in sound] + ["wrong"]
    assert result.feasible == sum(sound)


def test_a_judge_that_is_there_is_not_asked_where_the_rule_leaves_it_out():
    judge = PlainJudge()
    for reasoning in ("checks", "off"):
        (result,) = run([group("rea=0 and so on it goes")], Rule(reasoning=reasoning), plain_scorers(judge=judge))
        assert result.candidates[0].gate == "open" and judge.asked == []


def test_a_rule_that_needs_a_judge_says_what_to_do_without_one():
    with pytest.raises(ScorerOff, match=r"judge.*rule\.reasoning"):
        run([group("a")], scorers=plain_scorers(judge=None))


@pytest.mark.parametrize("variant", ["full", "no_dist", "no_div", "task_only"])
def test_a_variant_changes_the_total_alone(variant):
    candidates = ["nll=0.5 e=0", "nll=1.5 e=2", "ans=0"]
    (full,) = run([group(*candidates)])
    (other,) = run([group(*candidates)], Rule(variant=variant))
    fields = {"total"}
    for a, b in zip(full.candidates, other.candidates, strict=True):
        assert a.model_dump(exclude=fields) == b.model_dump(exclude=fields)
    assert other.diversity == full.diversity


def test_skip_unused_leaves_out_what_the_total_does_not_use():
    assert wanted_scorers(Rule(variant="task_only", skip_unused=True)) == {"verify", "judge"}
    assert wanted_scorers(Rule(variant="no_div", skip_unused=True)) == {"verify", "judge", "nll"}
    assert wanted_scorers(Rule(lambda_dist=0, skip_unused=True)) == {"verify", "judge", "diversity"}
    nll = PlainNll()
    (result,) = run([group("a=1")], Rule(variant="task_only", skip_unused=True), plain_scorers(nll=nll, diversity=None))
    assert nll.asked == [] and result.candidates[0].total == 1.0 and result.diversity is None


def test_a_scorer_that_is_off_and_needed_is_a_clear_error():
    with pytest.raises(ScorerOff, match="nll"):
        run([group("a")], scorers=plain_scorers(nll=None))


def test_failed_members_leave_the_statistics_and_diversity_sees_only_those_who_stay():
    diversity = PlainDiversity()
    candidates = ["nll=1 e=0", "fail=out_of_memory@nll e=3", "nll=2 e=1", "fail=judge_unavailable@judge"]
    (result,) = run([group(*candidates)], scorers=plain_scorers(diversity=diversity))
    assert diversity.asked == [candidates[0], candidates[2]]
    assert result.nll_mean == 1.5 and result.failed == 2 and result.feasible == 2
    failed = result.candidates[3]
    assert isinstance(failed, RewardFailed) and failed.v_ans == 1 and failed.error.code == "judge_unavailable"


def test_bad_gold_fails_the_group_for_good():
    (result,) = run([group("fail=bad_gold@verify", "fail=bad_gold@verify")])
    assert [(c.status, c.error.code, c.error.retryable) for c in result.candidates] == [
        ("failed", "bad_gold", False)
    ] * 2


def test_a_scorer_down_in_the_middle_fails_its_candidates_and_not_the_request():
    scorers = plain_scorers(judge=PlainJudge(trouble=ScorerUnavailable("judge is away")))
    (result,) = run([group("ans=0", "ans=1")], scorers=scorers)
    wrong, failed = result.candidates
    assert isinstance(wrong, RewardScored) and wrong.total == 0.0
    assert isinstance(failed, RewardFailed) and failed.error.code == "scorer_unavailable" and failed.error.retryable


def test_a_scorer_with_a_bug_fails_items_without_showing_its_message():
    scorers = plain_scorers(nll=PlainNll(trouble=ValueError("secret text")))
    (result,) = run([group("a")], scorers=scorers)
    error = result.candidates[0].error
    assert (error.code, error.retryable) == ("internal", True) and "secret" not in error.message


def test_only_a_request_that_got_nowhere_is_refused():
    with pytest.raises(Overloaded) as refused:
        run(
            [group("a", name="1")],
            scorers=plain_scorers(verify=PlainVerifier(trouble=Overloaded("full", retry_after=7))),
        )
    assert refused.value.retry_after == 7


def test_groups_flow_on_their_own_and_keep_their_order():
    names = [str(i) for i in range(50)]
    results = run([group(f"nll={i + 1}", name=name) for i, name in enumerate(names)])
    assert [r.id for r in results] == names
    assert [r.candidates[0].nll for r in results] == [i + 1 for i in range(50)]


class Seen:
    """Counts what passes by."""

    def __init__(self):
        self.dropped = 0
        self.scored = []

    def note_scores(self, name, groups):
        self.scored.append(name)

    def note_dropped(self, candidates):
        self.dropped += candidates


class WaitsForTheNll(PlainJudge):
    """Has no verdict before the NLL was asked for something."""

    def __init__(self, nll):
        super().__init__()
        self._nll = nll

    async def score(self, groups, *, tokens=False):
        await until_so(lambda: self._nll.begun)
        return await super().score(groups, tokens=tokens)


def test_overlap_gives_the_same_rewards_and_works_while_the_judge_is_out_and_counts_what_that_made_useless():
    candidates = ["nll=0.5 e=0", "nll=0.7 e=1", "rea=0", "ans=0", "fail=judge_unavailable@judge", "fail=too_long@nll"]
    group = Group(id="g", problem="p", reference="r", candidates=candidates)

    def run(overlap):
        nll, seen = PlainNll(), Seen()
        judge = WaitsForTheNll(nll) if overlap else PlainJudge()
        scorers = plain_scorers(judge=judge, nll=nll)
        rewards = asyncio.run(reward_groups([group], Rule(), scorers, overlap=overlap, watch=seen))
        return rewards, seen, nll.asked

    apart, seen_apart, asked_apart = run(False)
    beside, seen, asked = run(True)
    assert beside == apart
    assert (seen_apart.dropped, seen.dropped) == (0, 2)
    assert "rea=0" not in asked_apart and "ans=0" not in asked and "rea=0" in asked
