"""Kind 18, the clients' part: odd input is a line that names the field and the fix, never a raw exception."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from rewright.clients.adapters.groups import Rollout, whole_groups
from rewright.clients.adapters.trl import RewardFunction, text_of
from rewright.clients.cli.main import main
from rewright.clients.http_client import RewardClient
from rewright.service.errors import InvalidRequest
from tests.clients.faulty_server import SILENT, serve_faulty
from tests.live_server import ROOT, free_port, serve_app
from tests.plain_scorers import plain_scorers

LONE = "a \ud800 b"
GROUP = {"id": "g", "problem": "p", "reference": "r", "answer": "1", "candidates": ["nll=1", "ans=0"]}


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.mark.parametrize("endpoint", ["reward", "verify", "judge", "nll", "diversity"])
@pytest.mark.parametrize("field", ["id", "problem", "reference", "answer", "candidates"])
def test_a_lone_surrogate_is_named_by_its_place(server, endpoint, field):
    with RewardClient(server.url, deadline_s=10) as client:
        wrong = {**GROUP, field: ["x", LONE] if field == "candidates" else LONE}
        place = "candidates.1" if field == "candidates" else field
        with pytest.raises(InvalidRequest, match=rf"groups\.1\.{place}:? holds a lone surrogate.*replace it"):
            getattr(client, endpoint)([{**GROUP, "id": "0"}, wrong])


def test_what_is_no_list_of_groups_is_named(server):
    with RewardClient(server.url, deadline_s=10) as client:
        for wrong in (GROUP, "groups", 5, None, iter([GROUP])):
            with pytest.raises(InvalidRequest, match="groups must be a list of groups, not"):
                client.reward(wrong)
        for wrong in (None, 3, "x", [GROUP]):
            with pytest.raises(InvalidRequest, match=r"groups\.0: "):
                client.reward([wrong])
        with pytest.raises(InvalidRequest, match=r"rule\.weights: a name holds a lone surrogate"):
            client.reward([GROUP], rule={"weights": {LONE: 1.0}})
        with pytest.raises(InvalidRequest, match=r"rule: "):
            client.reward([GROUP], rule="full")
        for wrong in (0, -1, float("nan"), "10"):
            with pytest.raises(InvalidRequest, match="deadline_s must be a number above 0"):
                client.reward([GROUP], deadline_s=wrong)


def call(server, completions, **columns):
    rewards = RewardFunction(server.url, num_generations=2, patience_s=5)
    given = {"prompts": ["x"] * 2, "problem": ["p"] * 2, "reference": ["r"] * 2, **columns}
    return asyncio.run(rewards(completions=completions, **given))


@pytest.mark.parametrize(
    "silent",
    [None, "", [], [{"role": "user", "content": "x"}], [{"role": "assistant"}], [{"role": "assistant", "content": []}]],
    ids=repr,
)
def test_a_completion_that_says_nothing_is_a_blank(server, silent):
    assert call(server, ["nll=1", silent]) == [1.5, 0.0]


def test_a_lone_surrogate_of_the_policy_is_scored(server):
    assert call(server, ["nll=1", LONE + " ans=0"]) == [1.5, 0.0]
    assert text_of("\ud83d\ude00") == "\U0001f600" and text_of(LONE) == "a \ufffd b"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (3, "int"),
        (float("nan"), "float"),
        (b"x", "bytes"),
        ({"role": "assistant", "content": "x"}, "dict"),
        (["x"], "str among its messages"),
        ([{"role": "assistant", "content": 3}], "int as a message's content"),
        ([{"role": "assistant", "content": [{"type": "text", "text": 3}]}], "int as the text of a message's part"),
        ([{"role": "assistant", "content": [3]}], "int as the text of a message's part"),
    ],
    ids=repr,
)
def test_a_completion_of_another_type_is_named_by_its_row(server, wrong, reason):
    with pytest.raises(InvalidRequest, match=rf"completions, row 1: holds {reason}"):
        call(server, ["nll=1", wrong])


def test_parts_of_a_message_are_put_together(server):
    parts = [{"type": "text", "text": "nll=1 "}, {"type": "text", "text": None}, {"type": "image"}, "e=0"]
    assert text_of([{"role": "assistant", "content": parts}]) == "nll=1 e=0"


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"answer": [42, None]}, "column 'answer', row 0: holds int; it must be a string"),
        ({"problem": ["p", LONE]}, "column 'problem', row 1: holds a lone surrogate"),
        ({"reference": ["r"]}, "'reference' has 1 rows for 2 completions"),
        ({"answer": ["1"] * 3}, "'answer' has 3 rows for 2 completions"),
        ({"prompts": ["x"]}, "'prompts' has 1 rows for 2 completions"),
    ],
)
def test_a_column_that_does_not_fit_is_named(server, columns, reason):
    with pytest.raises(InvalidRequest, match=reason):
        call(server, ["nll=1", "nll=2"], **columns)


@pytest.mark.parametrize("field", ["problem", "reference", "candidate", "answer"])
def test_a_rollout_of_another_type_is_named_by_its_row(field):
    rows = [
        Rollout(key=k, **{"problem": "p", "reference": "r", "candidate": "c", field: 7 if k else "x"}) for k in (0, 1)
    ]
    with pytest.raises(InvalidRequest, match=rf"row 1, {field}: holds int"):
        whole_groups(rows, num_generations=1, fix="")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"candidates": ' + "[" * 100_000])
def test_deeply_nested_input_is_named_by_its_line(tmp_path, server, capfd, text):
    file, out = tmp_path / "groups.jsonl", tmp_path / "rewards.jsonl"
    file.write_text(json.dumps(GROUP) + "\n" + text + "\n")
    assert main(["score", str(file), "--url", server.url]) == 2
    assert "line 2: Invalid JSON" in capfd.readouterr().err
    assert main(["bench", server.url, "--groups", str(file)]) == 2
    assert "line 2: Invalid JSON" in capfd.readouterr().err
    file.write_text(json.dumps(GROUP) + "\n")
    out.write_text(text + "\n")
    assert main(["score", str(file), "--url", server.url, "--out", str(out)]) == 2
    assert "line 1, is no reward" in capfd.readouterr().err


@pytest.mark.parametrize(
    "signals", [(signal.SIGINT,) * 2, (signal.SIGINT,) * 5, (signal.SIGINT, signal.SIGTERM)], ids=str
)
@pytest.mark.parametrize("command", ["score", "bench"])
def test_a_second_signal_ends_a_command_at_once_and_without_a_traceback(tmp_path, command, signals):
    file = tmp_path / "groups.jsonl"
    file.write_text(json.dumps(GROUP) + "\n")
    with serve_faulty(plain_scorers(), *[SILENT] * 9) as slow:
        arguments = ["score", str(file), "--url", slow.url] if command == "score" else ["bench", slow.url]
        # A suite that a shell put into the background ignores SIGINT, and so would its children.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            line = [sys.executable, "-m", "rewright.clients.cli.main", *arguments]
            running = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        finally:
            signal.signal(signal.SIGINT, before)
        while not slow.asked and running.poll() is None:
            threading.Event().wait(0.02)
        for number in signals:
            os.kill(running.pid, number)
        _, err = running.communicate(timeout=60)
    assert running.returncode in (130, -signal.SIGINT, -signal.SIGTERM) and "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_service_without_a_traceback(number):
    off = {f"REWRIGHT_SCORERS__{name}__WHERE": "off" for name in ("JUDGE", "NLL", "DIVERSITY")}
    environment = {**os.environ, **off, "REWRIGHT_PORT": str(free_port())}
    command = [sys.executable, "-m", "rewright.clients.cli.main", "serve"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        told = []
        for line in running.stderr:
            told.append(line)
            # The second comes when the first was heard.
            if "Uvicorn running" in line or "taking no more" in line:
                running.send_signal(number)
        assert running.wait(60) == 0
    assert "Traceback" not in "".join(told) and "taking no more" in "".join(told)
