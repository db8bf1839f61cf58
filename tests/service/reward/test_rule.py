"""The reward arithmetic against a second implementation, and the properties that a trainer relies on."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewright.service.reward.rule import Evidence, dist_reward, nll_statistics, reward, standardised_nll, standing
from rewright.service.schema import (
    DiversityScored,
    Failed,
    Guards,
    JudgeScored,
    NllScored,
    RewardFailed,
    RewardScored,
    Rule,
    Signals,
    VerifyScored,
)
from tests.service.reward.reference_reward import set_diversity, totals

VARIANTS = ["full", "no_dist", "no_div", "task_only", "soft"]
SIGNALS = Signals(n_tokens=10, length_ratio=1.0, repeated=0.0, copied=0.0)
LOST = Failed.because("judge_unavailable", "down", retryable=True)

candidates_st = st.lists(
    st.fixed_dictionaries(
        {
            "v_ans": st.sampled_from([0, 1, 1, 1]),
            "v_rea": st.sampled_from([0, 1, 1, 1]),
            "nll": st.floats(0.01, 20),
            "n_tokens": st.integers(1, 40),
            "tail": st.floats(0.01, 40),
            "vector": st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda v: math.hypot(*v) > 1e-3),
            "lost": st.sampled_from([None, None, None, None, "verify", "judge", "nll"]),
            "unfit": st.sampled_from([False, False, False, False, True]),
        }
    ),
    min_size=0,
    max_size=7,
)
rules_st = st.builds(
    Rule,
    variant=st.sampled_from(VARIANTS),
    lambda_dist=st.floats(0.1, 5),
    lambda_div=st.floats(0.1, 200),
    min_std=st.sampled_from([0.0, 0.05, 1.0]),
    dist=st.sampled_from(["mean", "mean", "sum", "tail"]),
)


def evidence_of(drawn, rule):
    """The evidence that the gate would gather for drawn candidates, and the facts for the second implementation."""
    facts, evidence = [], []
    for c in drawn:
        e = Evidence(blank=False, signals=SIGNALS)
        e.verify = (
            LOST
            if c["lost"] == "verify"
            else VerifyScored(correct=c["v_ans"] == 1, verdict="correct" if c["v_ans"] else "wrong")
        )
        asked_judge = c["lost"] != "verify" and c["v_ans"] == 1
        if asked_judge:
            e.judge = (
                LOST
                if c["lost"] == "judge"
                else JudgeScored(valid=c["v_rea"] == 1, score=None, verdict="valid" if c["v_rea"] else "invalid")
            )
        lost = c["lost"] == "verify" or (c["lost"] == "judge" and asked_judge)
        at_nll = not lost and (rule.variant == "soft" or (asked_judge and c["v_rea"] == 1))
        if at_nll:
            told = {"nll": c["nll"], "n_tokens": c["n_tokens"], "nll_tail": c["tail"], "control_tokens": c["unfit"]}
            e.nll = LOST if c["lost"] == "nll" else NllScored(**told)
        nll_counts = rule.variant in {"full", "no_div", "soft"}
        lost = lost or (at_nll and c["lost"] == "nll" and nll_counts)
        facts.append({**c, "lost": lost, "unfit": c["unfit"] and at_nll and c["lost"] != "nll"})
        evidence.append(e)
    return facts, evidence


def with_diversity(evidence, facts, rule):
    """Add what the diversity scorer says of the members, as `rewright.service.reward.pipeline` asks it."""
    members = [k for k, e in enumerate(evidence) if standing(e, rule).member]
    vectors = [facts[k]["vector"] for k in members]
    whole = set_diversity(vectors)
    for position, k in enumerate(members):
        rest = vectors[:position] + vectors[position + 1 :]
        marginal = max(0.0, whole - set_diversity(rest)) if len(members) > 1 else 0.0
        evidence[k].diversity = DiversityScored(r_div=marginal)
    return whole


@settings(max_examples=400, deadline=None)
@given(drawn=candidates_st, rule=rules_st)
def test_totals_agree_with_the_second_implementation(drawn, rule):
    facts, evidence = evidence_of(drawn, rule)
    if rule.variant in {"no_dist", "task_only"}:
        # There a lost nll costs nothing; the reference knows no partial statistics, so leave its nll out of play.
        facts = [{**f, "nll": 1.0, "n_tokens": 1, "tail": 1.0} for f in facts]
    whole = with_diversity(evidence, facts, rule)
    group = reward("g", evidence, rule, diversity=whole)
    expected = totals(facts, rule.variant, rule.lambda_dist, rule.lambda_div, rule.min_std, dist=rule.dist)
    assert len(group.candidates) == len(drawn)
    for item, total in zip(group.candidates, expected, strict=True):
        if total is None:
            assert isinstance(item, RewardFailed) and item.total is None
        else:
            assert isinstance(item, RewardScored)
            assert item.total == pytest.approx(total, abs=1e-9, rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(drawn=candidates_st, rule=rules_st, data=st.data())
def test_order_of_candidates_does_not_matter(drawn, rule, data):
    order = data.draw(st.permutations(range(len(drawn))))
    results = []
    for arrangement in (list(range(len(drawn))), order):
        facts, evidence = evidence_of([drawn[k] for k in arrangement], rule)
        group = reward("g", evidence, rule, diversity=with_diversity(evidence, facts, rule))
        results.append({k: group.candidates[at].total for at, k in enumerate(arrangement)})
    assert results[0].keys() == results[1].keys()
    for k, total in results[0].items():
        assert total == pytest.approx(results[1][k], abs=1e-9) if total is not None else results[1][k] is None


@settings(max_examples=200, deadline=None)
@given(drawn=candidates_st, rule=rules_st.filter(lambda r: r.variant != "soft"))
def test_gate_dominates_and_bounds_hold(drawn, rule):
    facts, evidence = evidence_of(drawn, rule)
    group = reward("g", evidence, rule, diversity=with_diversity(evidence, facts, rule))
    for item in group.candidates:
        if isinstance(item, RewardFailed):
            continue
        if item.gate == "open":
            assert item.r_task == 1
            assert 1 <= item.total <= 1 + rule.lambda_dist + rule.lambda_div
            assert item.r_dist is None or 0 < item.r_dist < 1
            assert item.r_div is not None and 0 <= item.r_div <= 1
        else:
            assert item.total == 0.0 and item.r_task == 0
            assert item.nll_z is None and item.r_dist is None and item.r_div is None
    assert group.feasible == sum(isinstance(c, RewardScored) and c.gate == "open" for c in group.candidates)
    assert group.failed == sum(isinstance(c, RewardFailed) for c in group.candidates)


def open_evidence(nll, r_div=0.0):
    return Evidence(
        blank=False,
        signals=SIGNALS,
        verify=VerifyScored(correct=True, verdict="correct"),
        judge=JudgeScored(valid=True, score=0.9, verdict="valid"),
        nll=NllScored(nll=nll, n_tokens=3),
        diversity=DiversityScored(r_div=r_div),
    )


def test_the_worked_example_of_the_wire_format():
    group = reward("g1", [open_evidence(0.5, 0.01), open_evidence(0.7, 0.01)], Rule(), diversity=0.01)
    assert [c.total for c in group.candidates] == pytest.approx([1.7411, 1.2789], abs=1e-4)
    assert [c.nll_z for c in group.candidates] == pytest.approx([-1.0, 1.0], abs=1e-4)
    assert (group.nll_mean, group.nll_std) == pytest.approx((0.6, 0.1))


def test_one_member_is_neutral():
    (only,) = reward("g", [open_evidence(3.0)], Rule(), diversity=0.0).candidates
    assert (only.nll_z, only.r_dist, only.r_div, only.total) == (0.0, 0.5, 0.0, 1.5)


def test_two_members_always_give_the_same_pair_without_a_floor_and_not_with_one():
    pair = [open_evidence(1.0), open_evidence(1.0001)]
    bare = [c.r_dist for c in reward("g", pair, Rule(), diversity=0.0).candidates]
    floored = [c.r_dist for c in reward("g", pair, Rule(min_std=0.05), diversity=0.0).candidates]
    assert bare == pytest.approx([0.727, 0.273], abs=0.01)
    assert floored == pytest.approx([0.5, 0.5], abs=0.001)


def test_no_member_has_no_statistics():
    wrong = Evidence(blank=False, signals=SIGNALS, verify=VerifyScored(correct=False, verdict="wrong"))
    group = reward("g", [wrong], Rule(), diversity=0.0)
    assert (group.feasible, group.nll_mean, group.nll_std) == (0, None, None)
    assert nll_statistics([]) is None


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"blank": True}, "blank"),
        ({"verify": VerifyScored(correct=False, verdict="wrong")}, "wrong"),
        ({"verify": VerifyScored(correct=False, verdict="no_answer")}, "no_answer"),
        ({"verify": VerifyScored(correct=False, verdict="undecided")}, "undecided"),
        ({"judge": JudgeScored(valid=False, score=0.1, verdict="invalid")}, "invalid"),
        ({"judge": JudgeScored(valid=False, score=None, verdict="no_verdict")}, "no_verdict"),
        ({"nll": Failed.because("too_long", "", retryable=False)}, "too_long"),
        ({"judge": Failed.because("too_long", "", retryable=False)}, "too_long"),
        ({"nll": NllScored(nll=1.0, n_tokens=2, control_tokens=True)}, "control_tokens"),
    ],
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_candidates_own_doing_shuts_the_gate(change, gate, variant):
    spoilt = open_evidence(1.0)
    for name, value in change.items():
        setattr(spoilt, name, value)
    group = reward("g", [spoilt, open_evidence(1.0)], Rule(variant=variant), diversity=0.0)
    item = group.candidates[0]
    assert isinstance(item, RewardScored)
    assert (item.gate, item.r_task) == (gate, 0)
    if variant != "soft" or gate in {"blank", "too_long", "control_tokens"}:
        assert item.total == 0.0
        assert group.nll_mean == 1.0


@pytest.mark.parametrize("scorer", ["verify", "judge", "nll", "diversity"])
def test_the_services_doing_fails_the_candidate_and_keeps_it_out_of_the_statistics(scorer):
    lost = open_evidence(99.0)
    setattr(lost, scorer, Failed.because("out_of_memory", "no room", retryable=True))
    group = reward("g", [open_evidence(1.0), lost, open_evidence(2.0)], Rule(), diversity=0.0)
    item = group.candidates[1]
    assert isinstance(item, RewardFailed)
    assert (item.total, item.gate, item.error.code, item.error.retryable) == (None, None, "out_of_memory", True)
    assert item.v_ans == (None if scorer == "verify" else 1)
    assert (group.nll_mean, group.failed, group.feasible) == (1.5, 1, 2)


def test_a_component_that_the_total_does_not_use_may_be_missing():
    lost = open_evidence(1.0)
    lost.nll = Failed.because("out_of_memory", "no room", retryable=True)
    for rule in (Rule(variant="task_only"), Rule(variant="no_dist"), Rule(lambda_dist=0.0)):
        (item,) = reward("g", [lost], rule, diversity=0.0).candidates
        assert isinstance(item, RewardScored) and item.total == 1.0 and item.nll is None


@pytest.mark.parametrize(
    ("guards", "gate"),
    [
        (Guards(max_n_tokens=9), "guard_n_tokens"),
        (Guards(max_length_ratio=0.5), "guard_length_ratio"),
        (Guards(min_length_ratio=1.1), "guard_length_ratio"),
        (Guards(max_repeated=0.1), "guard_repeated"),
        (Guards(max_copied=0.1), "guard_copied"),
        (Guards(max_n_tokens=10, min_length_ratio=1.0, max_length_ratio=1.0, max_repeated=0.5, max_copied=0.5), "open"),
    ],
)
def test_guards_shut_the_gate_past_their_limit_only(guards, gate):
    looping = open_evidence(0.1)
    looping.signals = Signals(n_tokens=10, length_ratio=1.0, repeated=0.5, copied=0.5)
    (item,) = reward("g", [looping], Rule(guards=guards), diversity=0.0).candidates
    assert item.gate == gate


def test_dist_reward_is_monotonic_bounded_and_never_overflows():
    values = [dist_reward(z) for z in (-1e6, -5, -1, 0, 1, 5, 1e6)]
    assert all(a > b for a, b in pairwise(values[1:-1]))
    assert values[0] == 1.0 and values[3] == 0.5 and values[-1] == 0.0
    stats = nll_statistics([1.0, 3.0])
    assert standardised_nll(3.0, stats, min_std=0.0) == pytest.approx(1.0, abs=1e-5)


def test_dist_says_which_nll_is_standardised_and_changes_nothing_that_is_reported_of_the_mean():
    # (nll, tokens, tail): the longest text has the lowest mean, the largest sum, and the middle tail.
    told = [(0.5, 100, 2.0), (0.6, 20, 1.0), (0.7, 30, 3.0)]

    def scored(dist, *, tail=True):
        evidence = [open_evidence(nll=0.0) for _ in told]
        for e, (nll, n, worst) in zip(evidence, told, strict=True):
            e.nll = NllScored(nll=nll, n_tokens=n, nll_tail=worst if tail else None)
        return reward("g", evidence, Rule(dist=dist, lambda_div=0.0), diversity=0.0)

    best = {}
    for dist, compared in (("mean", [0.5, 0.6, 0.7]), ("sum", [50.0, 12.0, 21.0]), ("tail", [2.0, 1.0, 3.0])):
        group = scored(dist)
        mean = sum(compared) / 3
        std = math.sqrt(sum((value - mean) ** 2 for value in compared) / 3)
        assert (group.nll_mean, group.nll_std) == (pytest.approx(mean), pytest.approx(std))
        assert [c.nll_z for c in group.candidates] == pytest.approx([(v - mean) / (std + 1e-6) for v in compared])
        assert [c.nll for c in group.candidates] == [0.5, 0.6, 0.7]
        assert [c.nll_dist for c in group.candidates] == ([None] * 3 if dist == "mean" else pytest.approx(compared))
        best[dist] = max(range(3), key=lambda k: group.candidates[k].total)
    assert best == {"mean": 0, "sum": 1, "tail": 1}
    # A scorer of an earlier version: no reward, and never 0.0; where nothing hangs on it, nothing is lost.
    lacking = scored("tail", tail=False)
    assert lacking.failed == 3 and {c.error.code for c in lacking.candidates} == {"internal"}
    assert scored("sum", tail=False).failed == 0
