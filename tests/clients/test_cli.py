"""The command line against real services on loopback: outputs, exit statuses, messages, taking up again."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rewright.clients.cli.jsonl import RewardLine
from rewright.clients.cli.main import main
from rewright.service.errors import ScorerUnavailable
from rewright.service.settings import Settings
from tests.clients.faulty_server import serve_faulty
from tests.live_server import ROOT, free_port, serve_app
from tests.plain_scorers import NEVER, PlainJudge, PlainNll, plain_scorers
from tests.waiting import PATIENCE_S, until

GROUPS = [
    {"id": f"g{i}", "problem": "p", "reference": "r", "candidates": [f"nll=0.{k} e=0.{k * k}" for k in range(1, 5)]}
    for i in range(30)
]


@pytest.fixture(scope="module")
def server():
    with serve_app(plain_scorers()) as live:
        yield live


@pytest.fixture
def groups_file(tmp_path):
    return written(tmp_path / "groups.jsonl", GROUPS)


def written(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def rewards_in(text: str) -> list[RewardLine]:
    return [RewardLine.model_validate_json(line) for line in text.splitlines()]


def started(*arguments: object, **options) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "rewright.clients.cli.main", *map(str, arguments)]
    environment = {**os.environ, **options.pop("environment", {})}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.PIPE}
    # A suite that a shell put into the background ignores SIGINT, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes, **options)
    finally:
        signal.signal(signal.SIGINT, before)


def test_score_writes_one_line_a_group_in_order(server, groups_file, capfd):
    assert main(["score", str(groups_file), "--url", server.url]) == 0
    shown = capfd.readouterr()
    rewards = rewards_in(shown.out)
    assert [g.id for g in rewards] == [g["id"] for g in GROUPS] and all(g.feasible == 4 for g in rewards)
    for words in ("30 of 30 groups", "open 120", "in-group std of r_dist", "yield (r_task = 1)"):
        assert words in shown.err


def test_score_reads_standard_input_and_names_groups_by_line(server):
    lines = "\n" + "".join(json.dumps({k: v for k, v in g.items() if k != "id"}) + "\n" for g in GROUPS[:2])
    running = started("score", "-", "--url", server.url)
    out, err = running.communicate(lines, timeout=PATIENCE_S)
    assert running.returncode == 0, err
    assert [g.id for g in rewards_in(out)] == ["line-2", "line-3"]


def test_the_rule_reaches_the_service(server, groups_file, capfd):
    assert main(["score", str(groups_file), "--url", server.url, "--variant", "task_only"]) == 0
    assert {c.total for g in rewards_in(capfd.readouterr().out) for c in g.candidates} == {1.0}
    assert main(["score", str(groups_file), "--url", server.url, "--dist", "sum"]) == 0
    assert all(c.nll_dist == 2 * c.nll for g in rewards_in(capfd.readouterr().out) for c in g.candidates)
    assert main(["score", str(groups_file), "--url", server.url, "--min-std", "-1"]) == 2
    assert "min_std" in capfd.readouterr().err


class AnswersOnce(PlainNll):
    """And then never, unless `held` is False."""

    held = True

    async def score(self, groups, *, tokens=False):
        self.delay = NEVER if self.held and self.asked else 0.0
        return await super().score(groups, tokens=tokens)


def test_a_killed_run_is_taken_up_where_it_stopped(tmp_path, groups_file, capfd):
    out = tmp_path / "rewards.jsonl"
    many = written(tmp_path / "many.jsonl", [{**g, "candidates": g["candidates"] * 16} for g in GROUPS])
    nll = AnswersOnce()
    with serve_faulty(plain_scorers(nll=nll)) as server:
        running = started("score", many, "--url", server.url, "--out", out, "--concurrency", 2)
        until(lambda: out.exists() and out.stat().st_size)
        running.kill()
        running.communicate()
        nll.held = False
        first = rewards_in(out.read_text())
        assert 0 < len(first) < 30
        with out.open("a") as torn:
            torn.write('{"id": "g29", "candi')
        server.asked.clear()
        assert main(["score", str(many), "--url", server.url, "--out", str(out)]) == 0
        assert f"{len(first)} of 30 groups are in" in capfd.readouterr().err
        assert sorted(g.id for g in rewards_in(out.read_text())) == sorted(g["id"] for g in GROUPS)
        assert not {g.id for g in first} & {name for ids in server.ids for name in ids}
        server.asked.clear()
        assert main(["score", str(many), "--url", server.url, "--out", str(out)]) == 0 and not server.asked


def test_an_interrupt_leaves_whole_lines_and_no_traceback(tmp_path):
    many = written(tmp_path / "many.jsonl", [{**g, "candidates": g["candidates"] * 16} for g in GROUPS])
    out = tmp_path / "rewards.jsonl"
    with serve_faulty(plain_scorers(nll=AnswersOnce())) as server:
        running = started("score", many, "--url", server.url, "--out", out, "--concurrency", 1)
        until(lambda: out.exists() and out.stat().st_size)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130 and "Traceback" not in err and "stopped" in err
    assert out.read_text().endswith("\n") and rewards_in(out.read_text())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"problem": "p", "reference": "r", "candidates": ["a"]', "line 2: Invalid JSON"),
        ('{"problem": "p", "reference": "r"}', "line 2: candidates: Field required"),
        ('{"problem": "p", "reference": "r", "candidates": [3]}', "line 2: candidates.0"),
        ('{"problem": "p", "reference": "r", "candidates": ["\\ud800"]}', "line 2: "),
        ('{"problem": "p", "candidates": ["a"]}', "line 2: reference is missing"),
        ('{"id": "g0", "problem": "p", "reference": "r", "candidates": ["a"]}', "line 2: the id is that of line 1"),
        ("[]", "line 2: "),
    ],
)
def test_a_wrong_line_is_named_before_anything_is_sent(tmp_path, capfd, line, reason):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps(GROUPS[0]) + "\n" + line + "\n")
    assert main(["score", str(wrong), "--url", f"http://127.0.0.1:{free_port()}"]) == 2
    shown = capfd.readouterr()
    assert reason in shown.err and "Traceback" not in shown.err and shown.out == ""


def test_mistakes_are_a_line_and_status_2(tmp_path, groups_file, server, capfd):
    empty = written(tmp_path / "empty.jsonl", [])
    for arguments, words in (
        (["score", str(tmp_path / "absent.jsonl")], "No such file"),
        (["score", str(empty)], "holds no groups"),
        (["score", str(groups_file), "--url", "127.0.0.1:8000"], "no address"),
        (["score", str(groups_file), "--url", server.url, "--out", str(groups_file)], "no reward"),
        (["score", str(groups_file), "--url", server.url, "--out", str(tmp_path)], "is no file"),
        (["score", str(groups_file), "--url", server.url, "--out", str(tmp_path / "no" / "r")], "cannot write"),
        (["score", str(groups_file), "--url", server.url, "--api-key-file", str(empty)], "no key"),
        (["score", str(groups_file), "--concurrency", "0"], "at least 1"),
        (["score", str(groups_file), "--varient", "full"], "unrecognized"),
        (["info", "nowhere"], "no address"),
        (["bench", server.url, "--groups", str(empty)], "holds no groups"),
        ([], "COMMAND"),
    ):
        assert main(arguments) == 2, arguments
        shown = capfd.readouterr()
        assert words in shown.err and "Traceback" not in shown.err, arguments
    assert groups_file.read_text().count("\n") == 30


def test_what_could_not_be_scored_is_status_1(tmp_path, capfd):
    rows = [GROUPS[0], {**GROUPS[1], "candidates": ["nll=1", "fail=bad_gold@verify"]}]
    judge = PlainJudge()
    with serve_faulty(plain_scorers(judge=judge)) as server:
        file, out = written(tmp_path / "g.jsonl", rows), tmp_path / "out.jsonl"
        arguments = ["score", str(file), "--url", server.url, "--out", str(out), "--patience-s", "1"]
        judge.trouble = ScorerUnavailable("away")
        assert main(arguments) == 1
        assert "groups left out" in capfd.readouterr().err and out.read_text() == ""
        judge.trouble = None
        assert main(arguments) == 1
        # A failure that will not pass is final, and says so in its line.
        assert [g.failed for g in rewards_in(out.read_text())] == [0, 1]
    assert main(["score", str(file), "--url", server.url, "--patience-s", "1"]) == 1
    assert "did not answer" in capfd.readouterr().err


def test_keys_come_from_a_file(tmp_path, groups_file, capfd):
    key = tmp_path / "key"
    key.write_text("sesame\n")
    with serve_app(plain_scorers(), Settings(api_keys="sesame")) as server:
        assert main(["info", server.url]) == 2 and "Authorization" in capfd.readouterr().err
        assert main(["info", server.url, "--api-key-file", str(key)]) == 0
        assert json.loads(capfd.readouterr().out)["settings"]["api_keys"] == 1
        assert main(["score", str(groups_file), "--url", server.url, "--api-key-file", str(key)]) == 0
        assert main(["bench", server.url, "--requests", "2", "--api-key-file", str(key)]) == 0


def test_bench_reports_throughput_latency_statuses_and_a_lambda(server, groups_file, capfd):
    arguments = ["bench", server.url, "--groups", str(groups_file), "--requests", "20", "--groups-a-request", "3"]
    assert main([*arguments, "--concurrency", "5"]) == 0
    table = dict(line.split("  ", 1) for line in capfd.readouterr().out.splitlines())
    table = {name.strip(): value.strip() for name, value in table.items()}
    assert table["requests"] == "20" and table["answers by status"] == "200 20" and table["candidates"] == "open 240"
    assert all(f"p{p} " in table["latency of a 200, s"] for p in (50, 90, 95, 99))
    ratio = float(table["in-group std of r_dist"]) / float(table["in-group std of r_div"])
    assert float(table["suggested lambda_div"]) == pytest.approx(ratio, rel=1e-2)


def test_bench_with_its_own_groups_for_a_time_and_of_a_service_in_trouble(server, capfd):
    assert main(["bench", server.url, "--seconds", "0.5"]) == 0
    assert "open" in capfd.readouterr().out
    with serve_app(plain_scorers(judge=None)) as lacking:
        assert main(["bench", lacking.url, "--requests", "3"]) == 1
        assert "503 3" in capfd.readouterr().out
    assert main(["bench", f"http://127.0.0.1:{free_port()}"]) == 1
    assert "did not answer" in capfd.readouterr().err


def test_help_names_the_commands_and_their_options(capfd):
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert all(command in shown for command in ("score", "bench", "info"))
    assert main(["score", "--help"]) == 0
    assert "exit status" in capfd.readouterr().out


def test_other_packages_join_commands_through_entry_points(tmp_path):
    (tmp_path / "others.py").write_text(
        textwrap.dedent("""
            def add(commands):
                parser = commands.add_parser("greet", help="say hello")
                parser.add_argument("name")
                parser.set_defaults(run=lambda options: print("hello", options.name) or 7)
        """)
    )
    folder = tmp_path / "others-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[rewright.commands]\ngreet = others:add\nlacking = others.not_there:add\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    running = started("greet", "you", environment=environment)
    assert (running.communicate(timeout=PATIENCE_S)[0], running.returncode) == ("hello you\n", 7)
    running = started("lacking", "--anything", "else", environment=environment)
    _, err = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 2 and "needs more than is installed" in err and "Traceback" not in err


def test_a_reader_who_leaves_is_no_traceback(server, groups_file):
    running = started("score", groups_file, "--url", server.url)
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(PATIENCE_S) == 1
    assert running.stderr is not None and "Traceback" not in running.stderr.read()
    running.stderr.close()


@pytest.mark.parametrize(
    "module",
    [
        "rewright.clients.cli.main",
        "rewright.clients.adapters.trl",
        "rewright.clients.http_client",
        "rewright.clients.adapters.groups",
    ],
)
def test_clients_load_nothing_but_pydantic_and_httpx_and_commands_tqdm(module):
    heavy = ["torch", "transformers", "fastapi", "uvicorn", "trl", "numpy", "yaml"]
    heavy += [] if module.startswith("rewright.clients.cli") else ["tqdm"]
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert shown.stdout.strip() == "[]"
