"""What the tests in a browser share: groups as the service answers them, pages of them, and what axe-core finds."""

import random
from pathlib import Path
from typing import Any

import pytest

from rewright.clients.view.page import html
from rewright.service.reward.rule import Evidence, reward
from rewright.service.schema import DiversityScored, JudgeScored, NllScored, Rule, Signals, VerifyScored
from tests.live_server import ROOT

AXE = ROOT / "build" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "build" / "view"
WIDTHS = {"wide": 1280, "narrow": 400}
THEMES = ("light", "dark")
RULE = Rule()


def group(k: int, *, step: int | None = None, size: int = 4) -> dict[str, Any]:
    """A group as the service answers it, with texts; each fourth candidate is wrong."""
    dice = random.Random(k)
    boxes, each = dice.randrange(2, 60), dice.randrange(2, 60)
    texts, evidence = [], []
    for place in range(size):
        right = (k + place) % 4 != 0
        said = boxes * each if right else boxes + each
        texts.append(f"There are {boxes} boxes of {each}. {boxes} * {each} = {said}. The answer is {said}.")
        known = Evidence(
            blank=False,
            signals=Signals(n_tokens=20 + place, length_ratio=dice.uniform(0.4, 2), repeated=0.0, copied=dice.random()),
            verify=VerifyScored(correct=right, verdict="correct" if right else "wrong", extracted=str(said)),
        )
        if right:
            known.judge = JudgeScored(valid=True, verdict="valid")
            known.nll = NllScored(nll=dice.uniform(0.3, 1.5), n_tokens=20, nll_tail=2.0, control_tokens=False)
            known.diversity = DiversityScored(r_div=dice.uniform(0, 0.05))
        evidence.append(known)
    answer = reward(f"p{k}", evidence, RULE, diversity=0.1).model_dump(mode="json")
    for item, text in zip(answer["candidates"], texts, strict=True):
        item["text"] = text
        words = text.split(" ")
        item["tokens"] = [{"text": f"{word} ", "logprob": -dice.expovariate(1.0)} for word in words]
    problem = f"A shop has {boxes} boxes with {each} pens each. How many pens are there?"
    return answer | {"problem": problem, "reference": texts[-1], "answer": str(boxes * each), "step": step}


def written(folder: Path, groups: list[dict[str, Any]]) -> str:
    file = folder / "page.html"
    shown = {"title": "rewards.jsonl", "rule": RULE.model_dump(mode="json", exclude_none=True), "groups": groups}
    file.write_text(html(shown), encoding="utf-8")
    return file.as_uri()


def serious(sheet: Any) -> list[str]:
    """axe-core's findings that keep somebody from using the page, each with the place of its first."""
    if not AXE.exists():
        pytest.skip("axe-core is not there: `make test-view` fetches it")
    sheet.evaluate(AXE.read_text(encoding="utf-8"))
    found = sheet.evaluate(
        "async () => (await axe.run()).violations.map((one) => [one.impact, one.id, one.nodes[0].html])"
    )
    return [f"{name}: {place[:200]}" for impact, name, place in found if impact in ("serious", "critical")]
