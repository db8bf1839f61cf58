"""The small form from a fresh folder: whether the effects of predictions 1 and 3 go the way that the page reports."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_the_agent_brings_solutions_closer_to_the_model_and_forgets_less(tmp_path):
    subprocess.run([sys.executable, "-m", "examples.study.study", "small", "--folder", str(tmp_path)], check=True)
    (seed,) = json.loads((tmp_path / "small" / "results.json").read_text(encoding="utf-8")).values()
    found = {p["what"]: p["difference"] for p in seed["predictions"] if "difference" in p}
    # SDFT's rewrites are no closer than the references here, which the page reports; so that is not asked for.
    assert found["NLL at like length, SDFT - agent"][0] > 0
    # 500 general questions are too few to tell the two apart; they must not tell the opposite.
    mean, half_width, _ = found["general, agent - SFT"]
    assert mean + half_width > 0
    right = {name: method["arithmetic"] for name, method in seed["methods"].items()}
    assert right["sft"] < right["base"] - 0.1
    assert right["agent"] > right["sft"] + 0.1
