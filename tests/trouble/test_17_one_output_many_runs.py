"""Kind 17: one group, one more run, one torn line or one odd stream never stops or spoils a `rewright score`."""

import codecs
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rewright.clients.cli.jsonl import RewardLine
from rewright.clients.cli.main import main
from rewright.service.settings import LimitSettings, Settings
from tests.clients.faulty_server import SILENT, Answered, serve_faulty
from tests.live_server import ROOT, serve_app
from tests.plain_scorers import plain_scorers

GROUPS = [{"id": f"g{i}", "problem": "p", "reference": "r", "candidates": ["nll=1", "ans=0"]} for i in range(9)]
LARGE = {**GROUPS[4], "candidates": ["nll=1"] * 9}


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers(), Settings(limits=LimitSettings(candidates=8))) as live:
        yield live


def written(path: Path, groups) -> Path:
    path.write_text("".join(json.dumps(group) + "\n" for group in groups), encoding="utf-8")
    return path


def ids_in(out: Path) -> list[str]:
    return [RewardLine.model_validate_json(line).id for line in out.read_text().splitlines()]


def score(file: object, server, out: Path, *more: str) -> int:
    return main(["score", str(file), "--url", server.url, "--out", str(out), *more])


def test_a_group_that_is_too_large_is_named_and_the_others_are_scored(tmp_path, server, capfd):
    out = tmp_path / "rewards.jsonl"
    file = written(tmp_path / "groups.jsonl", [*GROUPS[:4], LARGE, *GROUPS[5:]])
    for _ in range(2):  # on the next run it is tried again, and named again
        assert score(file, server, out) == 1
        shown = capfd.readouterr().err
        assert "line 5 ('g4') is refused" in shown and "limits.candidates = 8" in shown and "Traceback" not in shown
        assert ids_in(out) == [g["id"] for g in GROUPS if g["id"] != "g4"]
    written(file, GROUPS)
    assert score(file, server, out) == 0
    assert sorted(ids_in(out)) == [g["id"] for g in GROUPS]


def test_a_group_that_a_proxy_finds_too_large_is_named_too(tmp_path, capfd):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS[:2])
    with serve_faulty(plain_scorers(), Answered(413), Answered(413)) as faulty:
        assert score(file, faulty, out) == 1
        assert faulty.ids == [["g0", "g1"], ["g0"], ["g1"]]
    assert "line 1 ('g0') is refused" in capfd.readouterr().err and ids_in(out) == ["g1"]


def test_a_mistake_in_the_rule_is_no_groups_fault(tmp_path, server, capfd):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS)
    assert score(file, server, out, "--weights", "nosuch=1") == 2
    assert "nosuch" in capfd.readouterr().err and ids_in(out) == []


@contextmanager
def a_run_under_way(file: Path, out: Path) -> Iterator[None]:
    with serve_faulty(plain_scorers(), *[SILENT] * 9) as slow:
        command = [sys.executable, "-m", "rewright.clients.cli.main", "score", file, "--url", slow.url, "--out", out]
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            running = subprocess.Popen(list(map(str, command)), cwd=ROOT, stderr=subprocess.PIPE)
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            while not slow.asked and running.poll() is None:
                threading.Event().wait(0.02)
            yield
        finally:
            running.kill()
            running.communicate()


def test_two_runs_on_one_output_do_not_double_its_lines(tmp_path, server, capfd):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS)
    with a_run_under_way(file, out):
        assert score(file, server, out) == 2
        assert "another run is writing to" in capfd.readouterr().err
    # The lock goes with its process, however it ended.
    assert score(file, server, out) == 0
    assert ids_in(out) == [g["id"] for g in GROUPS]


@pytest.mark.parametrize("field", ["candidates", "answer", "problem", "reference", "rule"])
def test_the_same_id_with_other_content_does_not_count_as_done(tmp_path, server, capfd, field):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS)
    assert score(file, server, out) == 0
    before = out.read_bytes()
    new = ["nll=2", "ans=0"] if field == "candidates" else "other"
    changed = GROUPS if field == "rule" else [*GROUPS[:2], {**GROUPS[2], field: new}, *GROUPS[3:]]
    assert score(written(file, changed), server, out, *(["--min-std", "0.03"] if field == "rule" else [])) == 2
    shown = capfd.readouterr().err
    assert "'g2' (line 3 there, 3 here)" in shown and ("'g1'" in shown) == (field == "rule") and "new file" in shown
    assert out.read_bytes() == before
    assert score(written(file, GROUPS), server, out) == 0 and out.read_bytes() == before


def test_lines_of_older_versions_count_by_their_id_and_that_is_said(tmp_path, server, capfd):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS)
    assert score(file, server, out) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({line["digest"] for line in lines}) == 1  # the content, not the id
    written(out, [{k: v for k, v in line.items() if k != "digest"} for line in lines[:5]])
    assert score(file, server, out) == 0
    assert "5 of them were written by an older version" in capfd.readouterr().err
    assert sorted(ids_in(out)) == [g["id"] for g in GROUPS]


@pytest.mark.parametrize("keep", [1, 3, 6, 20, -1])
@pytest.mark.parametrize("before", [0, 1])
def test_a_torn_line_is_cut_the_first_too(tmp_path, server, keep, before):
    out, file = tmp_path / "rewards.jsonl", written(tmp_path / "groups.jsonl", GROUPS)
    assert score(file, server, out) == 0
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:before]) + lines[before][:-1][:keep])
    assert score(file, server, out) == 0
    assert ids_in(out) == [g["id"] for g in GROUPS]


@pytest.mark.parametrize("content", ["notes of mine", json.dumps(GROUPS[0]), "[1, 2]", '{"name": "x'])
def test_a_file_of_somebody_else_is_left_alone(tmp_path, server, capfd, content):
    out, file = tmp_path / "mine", written(tmp_path / "groups.jsonl", GROUPS)
    out.write_text(content)
    assert score(file, server, out) == 2
    assert "no reward" in capfd.readouterr().err and out.read_text() == content


def test_streams_are_read_once(tmp_path, server):
    content = written(tmp_path / "groups.jsonl", GROUPS).read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    feeding = threading.Thread(target=lambda: fifo.write_bytes(content))
    feeding.start()
    assert score(fifo, server, tmp_path / "of-a-pipe.jsonl") == 0
    feeding.join()
    out = tmp_path / "of-stdin.jsonl"
    command = [sys.executable, "-m", "rewright.clients.cli.main", "score", "/dev/stdin", "--url", server.url]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ids_in(out) == ids_in(tmp_path / "of-a-pipe.jsonl") == [g["id"] for g in GROUPS]


def test_a_byte_order_mark_is_passed_over_and_other_encodings_are_named(tmp_path, server, capfd):
    file = written(tmp_path / "groups.jsonl", GROUPS)
    text = file.read_text()
    file.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert score(file, server, tmp_path / "out.jsonl") == 0
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"):
        file.write_bytes(text.replace('"p"', '"é"').encode(encoding))
        capfd.readouterr()
        assert score(file, server, tmp_path / "none.jsonl") == 2
        shown = capfd.readouterr().err
        assert "line 1" in shown and "UTF-8" in shown and "Traceback" not in shown, encoding
