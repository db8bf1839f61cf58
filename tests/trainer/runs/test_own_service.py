"""A run's own service: there while the run is, gone with it, and its death is the run's end in clear words."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import httpx
import pytest

from rewright.trainer.errors import RecipeError, ServiceTrouble
from rewright.trainer.recipes.grpo import load_recipe
from rewright.trainer.runs.own_service import own_service, settings_for
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[3]
LIGHT = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}


def pids_of(log_file: Path) -> list[int]:
    """The service that writes there; its children, which do too, have other commands."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if link.readlink() == log_file and "-m\0rewright.service" in (link.parents[1] / "cmdline").read_text():
                found.append(int(link.parts[2]))
        except OSError:
            continue
    return found


def test_it_is_there_while_the_run_is_and_logs_to_its_own_file(tmp_path: Path) -> None:
    log_file = tmp_path / "run.service.log"
    with own_service(log_file, LIGHT) as url:
        assert httpx.get(f"{url}/readyz").status_code == 200
        assert len(pids_of(log_file)) == 1
    assert pids_of(log_file) == []
    assert "opened verify" in log_file.read_text()


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ServiceTrouble, match="deadline_s"), own_service(tmp_path / "log", {"REWRIGHT_DEADLINE_S": "x"}):
        raise AssertionError("it must not come up")


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"])
def test_one_that_dies_ends_the_run_at_once(
    tmp_path: Path, request: pytest.FixtureRequest, interrupts: "signal._HANDLER"
) -> None:
    """In a shell's background as well, where interrupts are ignored."""
    before = signal.signal(signal.SIGINT, interrupts)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    log_file = tmp_path / "log"
    with pytest.raises(ServiceTrouble, match="ended by itself with status -9"), own_service(log_file, LIGHT):
        os.kill(pids_of(log_file)[0], signal.SIGKILL)
        time.sleep(600)  # as a run does that waits for rewards


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_run_whatever_ends_that(tmp_path: Path, sent: signal.Signals) -> None:
    log_file = tmp_path / "log"
    # A run of these tests in a shell's background ignores interrupts, and so would what it starts.
    code = f"""
        import signal, time
        from pathlib import Path
        from rewright.trainer.runs.own_service import own_service
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with own_service(Path({str(log_file)!r}), {LIGHT!r}):
            print("ready", flush=True)
            time.sleep(600)
    """
    run = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                           stderr=subprocess.DEVNULL)  # fmt: skip
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    assert len(pids_of(log_file)) == 1
    run.send_signal(sent)
    run.wait(60)
    until(lambda: not pids_of(log_file))


def test_what_the_service_is_told_follows_from_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    base = ["corpus.sources.0.path=x.jsonl"]
    assert settings_for(load_recipe("grpo-small-cpu", base)) == {"REWRIGHT_SCORERS__NLL__MODEL": "embedded"}
    told = settings_for(load_recipe("grpo-small-cpu", [*base, "reward.reasoning=checks"]))
    assert told["REWRIGHT_SCORERS__JUDGE__WHERE"] == "off"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="--serve"):
        settings_for(load_recipe("grpo-small-cpu", base))
