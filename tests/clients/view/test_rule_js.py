"""The page's arithmetic beside the service's: random groups, all variants, as scored and under other rules."""

import json
import random
import shutil
import subprocess
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rewright.service.reward.rule import Evidence, reward, standing
from rewright.service.schema import (
    DiversityScored,
    Failed,
    Guards,
    JudgeScored,
    NllScored,
    RewardGroup,
    Rule,
    ScalarScored,
    Signals,
    VerifyScored,
)

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None, reason="node, which runs the page's arithmetic, is not installed (Debian: apt install nodejs)"
)

VARIANTS = ("full", "no_dist", "no_div", "task_only", "soft")
LOST = Failed.because("scorer_unavailable", "away", retryable=True)


class Case(NamedTuple):
    """given: the rule of the answer; rule: what the page is asked for; right: what the service says under it."""

    given: Rule
    answer: RewardGroup
    rule: Rule
    right: RewardGroup


def evidence(dice: random.Random) -> Evidence:
    """All that there may be known of a candidate, whatever a rule then asks for."""
    correct, valid = dice.random() < 0.7, dice.random() < 0.8
    return Evidence(
        blank=dice.random() < 0.05,
        signals=Signals(
            n_tokens=dice.randrange(400), length_ratio=dice.choice([None, dice.uniform(0, 4)]),
            repeated=dice.random(), copied=dice.random(),
        ),
        verify=LOST if dice.random() < 0.03 else VerifyScored(
            correct=correct, verdict="correct" if correct else dice.choice(["wrong", "no_answer", "undecided"])
        ),
        judge=LOST if dice.random() < 0.03 else JudgeScored(
            valid=valid, verdict="valid" if valid else dice.choice(["invalid", "no_verdict"])
        ),
        nll=LOST if dice.random() < 0.03 else NllScored(
            nll=dice.choice([0.5, dice.uniform(0, 9)]), n_tokens=dice.randrange(1, 900), nll_tail=dice.uniform(0, 20),
            control_tokens=dice.random() < 0.03,
        ),
        diversity=DiversityScored(r_div=dice.uniform(0, 1)),
        scalars={"style": ScalarScored(score=dice.uniform(-3, 3))},
    )  # fmt: skip


def asked(known: Evidence, rule: Rule) -> Evidence:
    """What the service finds out under a rule: nothing behind a gate that is shut, but for `soft`."""
    found = Evidence(blank=known.blank, signals=known.signals)
    for name in ("verify", "judge", "nll", "scalars", "diversity"):
        now = standing(found, rule)
        if now.error is not None or not (
            now.member or (rule.variant == "soft" and name == "judge" and not known.blank)
        ):
            break
        setattr(found, name, getattr(known, name))
    return found


def scored(all_known: list[Evidence], rule: Rule) -> RewardGroup:
    return reward("g", [asked(known, rule) for known in all_known], rule, diversity=0.5)


def rule(dice: random.Random, **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "variant": dice.choice(VARIANTS), "lambda_dist": dice.choice([0.0, 1.0, dice.uniform(-2, 9)]),
        "lambda_div": dice.choice([0.0, 1.0, dice.uniform(0, 40)]), "min_std": dice.choice([0.0, 0.03, 2.0]),
        "dist": dice.choice(["mean", "mean", "sum", "tail"]), "weights": dice.choice([{}, {"style": 0.3}]),
        "guards": dice.choice([Guards(), Guards(min_length_ratio=0.5), Guards(max_copied=0.6, max_n_tokens=300)]),
    }  # fmt: skip
    return Rule(**values | changes)


def page_rule(one: Rule) -> dict[str, Any]:
    said = one.model_dump(mode="json", exclude_none=True)
    return said | {"guards": one.guards.model_dump(exclude_none=True)}


def in_the_page(cases: list[Case]) -> list[list[dict[str, Any]]]:
    told = [
        {
            "items": case.answer.model_dump(mode="json")["candidates"],
            "given": page_rule(case.given),
            "rule": page_rule(case.rule),
        }
        for case in cases
    ]
    script = Path(__file__).with_name("rule_vectors.js")
    with as_file(files("rewright.clients.view") / "page" / "rule.js") as module:
        # A copy whose name says that it is a module: the package has no package.json.
        copy = Path(module).read_text(encoding="utf-8")
        done = subprocess.run(
            [str(NODE), "--input-type=module", "-e", _inlined(script.read_text(encoding="utf-8"), copy)],
            input=json.dumps(told), capture_output=True, text=True, check=True,
        )  # fmt: skip
    found: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return found


def _inlined(script: str, module: str) -> str:
    body = script.split("const cases", 1)[1]
    return f'import {{ readFileSync }} from "node:fs";\n{module.replace("export ", "")}\nconst cases{body}'


def test_as_they_were_scored() -> None:
    dice = random.Random(5)
    cases = []
    for _ in range(1000):
        known = [evidence(dice) for _ in range(dice.randrange(1, 9))]
        given = rule(dice)
        answer = scored(known, given)
        cases.append(Case(given, answer, given, answer))
    for case, found in zip(cases, in_the_page(cases), strict=True):
        for right, mine in zip(case.right.candidates, found, strict=True):
            if right.status == "failed":
                assert mine["total"] is None
                continue
            assert mine["gate"] == right.gate
            assert mine["total"] == pytest.approx(right.total, rel=1e-9, abs=1e-9), case
            assert mine["r_dist"] == (
                None if right.r_dist is None else pytest.approx(right.r_dist, rel=1e-9, abs=1e-12)
            )


CHANGES: dict[str, Any] = {
    "lambda_dist": 3.5, "lambda_div": 12.0, "min_std": 0.4, "guards": Guards(min_length_ratio=1.0, max_copied=0.3),
}  # fmt: skip


@pytest.mark.parametrize("changed", [*CHANGES, "variant", "everything"])
def test_under_another_rule_a_total_is_right_or_not_known(changed: str) -> None:
    dice = random.Random(7)
    cases = []
    for _ in range(1000):
        known = [evidence(dice) for _ in range(dice.randrange(1, 9))]
        given = rule(dice)
        if changed == "everything":
            other = rule(dice)
        elif changed == "variant":
            other = given.model_copy(update={"variant": dice.choice(VARIANTS)})
        else:
            other = given.model_copy(update={changed: CHANGES[changed]})
        cases.append(Case(given, scored(known, given), other, scored(known, other)))
    told = asked_for = 0
    for case, found in zip(cases, in_the_page(cases), strict=True):
        for right, mine in zip(case.right.candidates, found, strict=True):
            asked_for += right.status == "scored"
            if mine["total"] is not None and right.status == "scored":
                told += 1
                assert mine["total"] == pytest.approx(right.total, rel=1e-9, abs=1e-9), case
    # Most is told, or the page would be of no use; a λ and a floor change nothing that an answer does not hold.
    assert told > (0.8 if changed in {"lambda_dist", "lambda_div", "min_std"} else 0.4) * asked_for
