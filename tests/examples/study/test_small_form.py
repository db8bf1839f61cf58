"""The small form from a fresh folder: whether the effects of predictions 1 and 3 go the way that the page reports."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def test_the_agent_brings_solutions_closer_to_the_model_and_forgets_less(tmp_path):
    subprocess.run([sys.executable, "-m", "examples.study.study", "small", "--folder", str(tmp_path)], check=True)
    (seed,) = json.loads((tmp_path / "small" / "results.json").read_text(encoding="utf-8")).values()
    means = {p["what"]: p["difference"][0] for p in seed["predictions"] if "difference" in p}
    assert means["NLL at like length, SDFT - agent"] > 0
    # SDFT's rewrites are no closer than the references here, which the page reports; so that is not asked for.
    right = {name: method["arithmetic"] for name, method in seed["methods"].items()}
    assert right["sft"] < right["base"] - 0.1
    assert right["agent"] > right["sft"] + 0.1
