"""All kinds together, in small: every answer is checked while everything about it is killed, hung, replaced or raves.

`make chaos` is the same with a million candidates.
"""

import subprocess
import sys

from tests.live_server import ROOT


def test_every_candidate_is_answered_once_and_rightly():
    command = [sys.executable, "tests/bench/chaos.py", "--candidates", "3200", "--every", "1", "--seconds", "200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "killed" in done.stdout
