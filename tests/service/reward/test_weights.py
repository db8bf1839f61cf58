"""Further terms of the total: scorers of one number per candidate, weighed by the rule and gated like the others."""

import asyncio

import pytest

from rewright.service.errors import ScorerOff, ScorerUnavailable
from rewright.service.reward.pipeline import reward_groups, wanted_scorers
from rewright.service.schema import AnyGroup, Failed, Group, RewardFailed, RewardScored, Rule, ScalarScored
from tests.plain_scorers import PlainDiversity, PlainNll, PlainScorer, plain_scorers, said


class PlainFluency(PlainScorer):
    """`flu=0.5` in a candidate is its number."""

    name = "fluency"

    def _group(self, group: Group, tokens: bool) -> AnyGroup:
        items = [self._failure(said(t)) or ScalarScored(score=float(said(t).get("flu", 0))) for t in group.candidates]
        return AnyGroup.model_construct(id=group.id or "", candidates=items)


def run(candidates, rule, **scorers):
    group = Group(id="g", problem="p", reference="r", candidates=candidates)
    chosen = plain_scorers(**{"fluency": PlainFluency(), **scorers})
    (result,) = asyncio.run(reward_groups([group], rule, chosen))
    return result


def test_the_total_gains_weight_times_number_behind_the_gate():
    candidates = ["nll=0.5 e=0 flu=0.25", "nll=0.9 e=1 flu=-2", "ans=0 flu=9", "rea=0 flu=9", ""]
    plain = run(candidates, Rule())
    weighed = run(candidates, Rule(weights={"fluency": 0.5}))
    gains = [after.total - before.total for before, after in zip(plain.candidates, weighed.candidates, strict=True)]
    assert gains == pytest.approx([0.125, -1.0, 0, 0, 0])
    assert [c.scores for c in weighed.candidates] == [{"fluency": 0.25}, {"fluency": -2.0}, {}, {}, {}]


@pytest.mark.parametrize(
    ("rule", "asked", "counts"),
    [
        (Rule(weights={"fluency": 1.0}), True, True),
        (Rule(weights={"fluency": 0.0}), True, False),
        (Rule(weights={"fluency": 0.0}, skip_unused=True), False, False),
        (Rule(weights={"fluency": 1.0}, variant="task_only"), True, False),
        (Rule(weights={"fluency": 1.0}, variant="task_only", skip_unused=True), False, False),
        (Rule(weights={"fluency": 1.0}, variant="soft"), True, True),
        (Rule(), False, False),
    ],
)
def test_when_it_is_asked_and_when_it_counts(rule, asked, counts):
    fluency = PlainFluency()
    (one, _) = run(["flu=0.5", "ans=0 flu=0.5"], rule, fluency=fluency).candidates
    (plain, _) = run(["flu=0.5", "ans=0 flu=0.5"], rule.model_copy(update={"weights": {}})).candidates
    assert ("fluency" in wanted_scorers(rule)) == bool(fluency.asked) == asked
    assert one.total - plain.total == pytest.approx(0.5 if counts else 0.0)


def test_soft_counts_it_for_wrong_candidates_too():
    (wrong,) = run(["ans=0 flu=0.5"], Rule(variant="soft", lambda_dist=0, weights={"fluency": 2.0})).candidates
    assert (wrong.gate, wrong.total) == ("wrong", pytest.approx(1.0))


def test_a_failed_number_fails_its_candidate_and_keeps_it_out_of_the_group():
    candidates = ["nll=1 e=0 flu=1", "nll=3 e=2 flu=1 fail=internal@fluency", "nll=2 e=1 flu=1"]
    diversity = PlainDiversity()
    result = run(candidates, Rule(weights={"fluency": 1.0}), diversity=diversity)
    assert isinstance(result.candidates[1], RewardFailed) and result.candidates[1].total is None
    assert (result.failed, result.feasible, result.nll_mean) == (1, 2, pytest.approx(1.5))
    assert diversity.asked == [candidates[0], candidates[2]]


def test_a_failed_number_that_does_not_count_harms_nobody():
    (one,) = run(["flu=1 fail=internal@fluency"], Rule(weights={"fluency": 0.0})).candidates
    assert isinstance(one, RewardScored) and one.scores == {}


def test_a_candidate_that_is_too_long_for_it_shuts_its_own_gate():
    (one,) = run(["flu=1 fail=too_long@fluency"], Rule(weights={"fluency": 1.0})).candidates
    assert (one.gate, one.total) == ("too_long", 0.0)


def test_a_scorer_in_trouble_fails_the_members_alone():
    down = PlainFluency(trouble=ScorerUnavailable("down"))
    result = run(["flu=1", "ans=0"], Rule(weights={"fluency": 1.0}), fluency=down)
    assert [c.status for c in result.candidates] == ["failed", "scored"]
    assert result.candidates[0].error.retryable


def test_a_weighed_scorer_that_is_off_is_named():
    with pytest.raises(ScorerOff, match="fluency"):
        run(["flu=1"], Rule(weights={"fluency": 1.0}), fluency=None)


def test_members_of_the_nll_stay_those_that_are_asked():
    nll, fluency = PlainNll(), PlainFluency()
    run(["ans=1 flu=1", "fail=too_long@nll flu=1"], Rule(weights={"fluency": 1.0}), nll=nll, fluency=fluency)
    assert len(nll.asked) == 2 and fluency.asked == ["ans=1 flu=1"]


@pytest.mark.parametrize("rule", [Rule(weights={"fluency": 1e308}), Rule(lambda_dist=1.7e308, lambda_div=1.7e308)])
def test_a_total_that_no_float_can_hold_is_a_failure_and_no_number(rule):
    (one, *_) = run(["nll=0.1 e=0 flu=10", "nll=9 e=3 flu=10"], rule, diversity=FarApart()).candidates
    assert isinstance(one, RewardFailed) and one.error.code == "not_finite" and not one.error.retryable


class FarApart(PlainDiversity):
    """As if every candidate brought all the diversity there can be."""

    def _group(self, group, tokens):
        result = super()._group(group, tokens)
        items = [item.model_copy(update={"r_div": 1.0}) for item in result.candidates if not isinstance(item, Failed)]
        return result.model_copy(update={"candidates": items})
