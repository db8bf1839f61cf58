"""Frameworks' own released code calls us, each in an environment of its own: `make test-trainers`.

Four members, all scored; one that cannot be; the service away; the service slower than the patience.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from rewright.clients.http_client import RewardClient
from tests.live_server import ROOT, free_port, serve_app
from tests.plain_scorers import NEVER, plain_scorers

ENVIRONMENTS = Path(os.environ.get("TRAINERS", ROOT / "build" / "trainers"))
GOOD = ["nll=0.5 e=0", "nll=0.7 e=0.5", "ans=0", "nll=1.5 e=1"]
ONE_FAILED = ["fail=bad_gold@verify", *GOOD[1:]]
ENVIRONMENT_OF = {"verl_function": "verl"}
"""Where a run's environment has another name."""
SCRIPT_OF = {"trl_0_18": "trl", "trl_0_24": "trl"}
"""Where its script has."""
WHOLE_GROUPS = ["trl_0_18", "trl_0_24", "axolotl", "ms_swift", "tinker", "skyrl", "verifiers"]
ONE_MEMBER = ["verl", "verl_function", "openrlhf", "areal", "nemo_gym"]
RUNS = [*WHOLE_GROUPS, *ONE_MEMBER]
SHORT = {framework: {"patience_s": 2} for framework in WHOLE_GROUPS}
SHORT |= {framework: {"patience_s": 2, "deadline_s": 2} for framework in ONE_MEMBER}

OURS = {"DeadlineExceeded", "ScorerUnavailable", "500"}
"""What a service that is away or slow ends in, by name or as the status of the framework's own server."""

pytestmark = pytest.mark.slow


def run(framework, url, cases, settings):
    python = ENVIRONMENTS / ENVIRONMENT_OF.get(framework, framework) / "bin" / "python"
    if not python.exists():
        pytest.skip(f"{framework} is not installed; make test-trainers does it")
    script = ROOT / "tests" / "trainers" / f"{SCRIPT_OF.get(framework, framework)}_run.py"
    ran = subprocess.run(
        [python, script, url, json.dumps(cases), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    for case, outcome in told.items():
        print(framework, case, outcome)
    return told


@pytest.mark.parametrize("framework", RUNS)
def test_rewards_and_advantages(framework):
    with serve_app(plain_scorers()) as live:
        with RewardClient(live.url, deadline_s=20) as client:
            group = client.reward([{"problem": "p", "reference": "r", "candidates": GOOD}]).groups[0]
        told = run(framework, live.url, {"all scored": GOOD, "one failed": ONE_FAILED}, {})
    expected = [item.total for item in group.candidates]
    assert told["all scored"]["rewards"] == pytest.approx(expected, abs=1e-5)
    ranks = sorted(range(4), key=expected.__getitem__)
    assert ranks == sorted(range(4), key=told["all scored"]["advantages"].__getitem__)
    failed = told["one failed"]
    assert "rejected" in failed or (len(set(failed["rewards"])) == 1 and failed["advantages"] == [0.0] * 4)


@pytest.mark.parametrize("framework", RUNS)
def test_a_service_that_is_away_or_too_slow_is_never_a_number_beside_others(framework):
    away = run(framework, f"http://127.0.0.1:{free_port()}", {"away": GOOD}, SHORT[framework])["away"]
    scorers = plain_scorers()
    next(s for s in scorers if s.name == "judge").delay = NEVER
    with serve_app(scorers) as live:
        slow = run(framework, live.url, {"slow": GOOD}, SHORT[framework])["slow"]
    for outcome in (away, slow):
        quiet = "rejected" in outcome or outcome.get("advantages") == [0.0] * 4
        assert quiet or outcome["raised"] in OURS
