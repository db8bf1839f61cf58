"""Builds that are killed, starved of their service or of their disk, and go on: nothing lost, nothing twice."""

import random
import time
from pathlib import Path

import pytest

from rewright.trainer.errors import RunFolderError, ServiceTrouble
from rewright.trainer.runs.row_file import RowFile, origins_in
from tests.live_server import free_port
from tests.trainer.build import build_service
from tests.trainer.build.build_parts import (
    rows_in,
    run_build,
    start_build,
    write_build_recipe,
    write_samples,
)
from tests.trainer.holding import held_elsewhere
from tests.trainer.service_process import killable_service
from tests.trainer.tiny_run import write_backbone
from tests.waiting import PATIENCE_S, until

METHOD = {"method": "mind_the_gap", "generation": {"batch_size": 4, "max_tokens": 24}}
COUNT = 80


@pytest.fixture(scope="module")
def service():
    with killable_service(free_port(), build_service.__file__, "0") as running:
        yield running


@pytest.fixture(scope="module")
def parts(tmp_path_factory, service):
    folder = tmp_path_factory.mktemp("parts")
    return {
        "model": write_backbone(folder / "model"),
        "problems": write_samples(folder / "problems.jsonl", COUNT),
        "url": service.url,
    }


@pytest.fixture(scope="module")
def unbroken(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return run_build(write_build_recipe(folder / "recipe.yaml", output=folder / "out", **METHOD, **parts))


def recipe_in(folder, parts, **changes):
    return write_build_recipe(folder / "recipe.yaml", output=folder / "out", **(METHOD | parts | changes))


def rows_there(folder):
    file = folder / "out" / "rows.jsonl"
    return file.read_bytes().count(b"\n") if file.is_file() else 0


def killed_and_resumed(folder, parts, unbroken, service, *, kills, seed):
    """Kill a build that often, each time when it has got a random number of rows further; the rows after each kill."""
    draw = random.Random(seed)
    recipe = recipe_in(folder, parts)
    expected = unbroken.read_bytes()
    seen = []
    for left in range(kills, 0, -1):
        before = rows_there(folder)
        goal = max(1, before + draw.randrange(0, max(1, (COUNT - before) // (left + 1))))
        service.hold_once(folder / "out" / "rows.jsonl", "\n", goal)
        process = start_build(recipe)
        until(lambda goal=goal: rows_there(folder) >= goal)
        time.sleep(draw.uniform(0, 0.1))  # what it does meanwhile with held texts is another point to be killed at
        process.kill()
        process.wait()
        service.go_on()
        seen.append(rows_there(folder))
        written = (folder / "out" / "rows.jsonl").read_bytes() if seen[-1] else b""
        assert expected.startswith(written)
    assert run_build(recipe).read_bytes() == expected
    return seen


def test_killed_with_minus_nine_and_resumed_it_ends_with_the_bytes_of_an_unbroken_build(
    tmp_path, parts, unbroken, service
):
    seen = killed_and_resumed(tmp_path, parts, unbroken, service, kills=2, seed=1)
    assert seen == sorted(seen) and all(0 < rows < COUNT for rows in seen)
    assert {row["origin"] for row in rows_in(unbroken)} == {"self_solve", "rewrite", "reference"}


@pytest.mark.slow
def test_killed_at_ten_random_points_it_ends_with_the_bytes_of_an_unbroken_build(tmp_path, parts, unbroken, service):
    seen = killed_and_resumed(tmp_path, parts, unbroken, service, kills=10, seed=2)
    assert len(set(seen)) >= 3


def test_with_its_service_restarted_and_a_tenth_of_the_calls_failing_it_is_the_same(tmp_path, parts, unbroken):
    with killable_service(free_port(), build_service.__file__, "0.1") as failing:
        failing.hold_once(tmp_path / "out" / "rows.jsonl", "\n")
        process = start_build(recipe_in(tmp_path, parts | {"url": failing.url}))
        until(lambda: rows_there(tmp_path) > 0)
        failing.kill()
        failing.turn_away(3)
        assert process.poll() is None and rows_there(tmp_path) < COUNT
        failing.start()
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "said.txt").read_text()
    assert (tmp_path / "out" / "dataset.jsonl").read_bytes() == unbroken.read_bytes()


@pytest.mark.slow
def test_a_service_away_past_the_patience_stops_the_build_with_its_rows_kept(tmp_path, parts, unbroken, service):
    impatient = recipe_in(tmp_path, parts, service={"base_urls": [service.url], "patience_s": 1.0})
    service.hold_once(tmp_path / "out" / "rows.jsonl", "\n")
    process = start_build(impatient)
    until(lambda: rows_there(tmp_path) > 0)
    service.kill()
    try:
        assert process.wait(PATIENCE_S) == 1
        said = (tmp_path / "said.txt").read_text()
        assert "patience_s = 1 s" in said and "run the same command again" in said
        kept = (tmp_path / "out" / "rows.jsonl").read_bytes()
        assert 0 < len(kept) < unbroken.stat().st_size and unbroken.read_bytes().startswith(kept)
        with pytest.raises(ServiceTrouble, match="cannot be used"):
            run_build(impatient)
    finally:
        service.start()
    assert run_build(recipe_in(tmp_path, parts)).read_bytes() == unbroken.read_bytes()


def test_a_disk_that_fills_up_in_the_middle_loses_nothing(tmp_path, parts, unbroken):
    limit = unbroken.stat().st_size * 2 // 3
    process = start_build(recipe_in(tmp_path, parts), largest_file=limit)
    assert process.wait(PATIENCE_S) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "rows are whole and kept" in said and "Traceback" not in said
    kept = (tmp_path / "out" / "rows.jsonl").read_bytes()
    assert kept.endswith(b"\n") and unbroken.read_bytes().startswith(kept) and len(kept) > limit // 2
    assert run_build(recipe_in(tmp_path, parts)).read_bytes() == unbroken.read_bytes()


def test_two_builds_never_work_in_one_folder(tmp_path, parts):
    from rewright.trainer.build.folder import BuildFolder

    with held_elsewhere(BuildFolder, tmp_path / "out"), pytest.raises(RunFolderError, match="another build"):
        run_build(recipe_in(tmp_path, parts))


def test_a_torn_line_is_cut_off_and_rows_of_another_corpus_are_refused(tmp_path):
    file = tmp_path / "rows.jsonl"
    whole = b'{"id": "a", "origin": "reference"}\n{"id": "b", "origin": "rewrite"}\n'
    file.write_bytes(whole + b'{"id": "c", "ori')
    assert dict(origins_in(file, iter("abc"))) == {"reference": 1, "rewrite": 1}
    with RowFile(file) as rows:
        assert rows.rows == 2
        rows.append([b'{"id": "c"}\n'])
    assert file.read_bytes() == whole + b'{"id": "c"}\n'
    with pytest.raises(RunFolderError, match="row 2: its id is 'b', that of the corpus is 'x'"):
        origins_in(file, iter("ax"))
    assert Path(file).is_file()
