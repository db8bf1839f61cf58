"""`rewright view`: what files become, that texts stay texts, and what a real browser makes of the page."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rewright.clients.cli.main import main
from rewright.clients.view.documents import document
from rewright.clients.view.page import html
from rewright.service.errors import InvalidRequest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
HOSTILE = [
    "<script>document.body.id='run'</script>", "</script><script>document.body.id='run'</script>",
    "<img src=x onerror=\"document.body.id='run'\">", "<!--<script>", "]]>",
    "\u202eright to left\u202c", "\ud800 alone",
    "{{script}} {{data}}", "a\u2028b\u2029c", "&lt;b&gt;", "x" * 200_000, "$$\\def\\a{\\a\\a}\\a$$", "\x00\x07",
]  # fmt: skip


def item(total: float, **values: Any) -> dict[str, Any]:
    signals = {"n_tokens": 3, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.0}
    return {"status": "scored", "total": total, "gate": "open", "r_task": 1, "signals": signals} | values


def lines(file: Path, rows: list[Any]) -> str:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def test_scores_meet_their_texts_by_id(tmp_path: Path) -> None:
    scored = lines(tmp_path / "scored.jsonl", [{"id": "b", "candidates": [item(1.5)], "nll_mean": 0.4}])
    groups = lines(
        tmp_path / "groups.jsonl",
        [
            {"id": "a", "problem": "other", "candidates": ["no"]},
            {"id": "b", "problem": "P", "reference": "R", "candidates": ["C"]},
        ],
    )
    (group,) = document(scored, groups=groups)["groups"]
    assert (group["id"], group["problem"], group["reference"], group["nll_mean"]) == ("b", "P", "R", 0.4)
    (candidate,) = group["candidates"]
    assert (candidate["text"], candidate["total"]) == ("C", 1.5)


def test_an_answer_and_its_request_are_read_as_they_are_posted(tmp_path: Path) -> None:
    answer, request = tmp_path / "answer.json", tmp_path / "request.json"
    answer.write_text(
        json.dumps({"groups": [{"id": "0", "candidates": [item(1.0), item(0.0, gate="wrong", r_task=0)]}]})
    )
    request.write_text(json.dumps({"groups": [{"id": "0", "problem": "P", "candidates": ["x", "y"]}]}))
    (group,) = document(str(answer), groups=str(request))["groups"]
    assert [each["text"] for each in group["candidates"]] == ["x", "y"]


def test_similarities_of_a_file_are_shown_and_a_column_that_holds_none_is_left_out(tmp_path: Path) -> None:
    group = {"candidates": ["x", "y", " "]}
    rows = [[1.0, -0.5, None], [-0.5, 1, None], None]
    others = [5, "no", {}, [], [[1, 2], [2, 1]], [[1, 0]], [[1, 0, 0]] * 2, [[7, 0, 0]] * 3, [None] * 3, ["a"] * 3]
    file = lines(tmp_path / "groups.jsonl", [group | {"similarities": told} for told in (rows, *others)])
    first, *more = document(file)["groups"]
    assert first["similarities"] == rows
    assert not any("similarities" in each for each in more)
    scored = lines(tmp_path / "scored.jsonl", [{"id": "a", "candidates": [item(1.0)] * 3, "similarities": rows}])
    texts = lines(tmp_path / "texts.jsonl", [group | {"id": "a"}])
    shown = document(scored, groups=texts)
    assert shown["groups"][0]["similarities"] == rows
    assert '"similarities":[[1.0,-0.5,null],' in html(shown)


def test_rollouts_of_a_step_are_one_group_and_nan_is_not_known(tmp_path: Path) -> None:
    row = {
        "step": 3,
        "prompt": "P",
        "completion": "C",
        "rewright": 1.2,
        "outcome": "open",
        "nll": float("nan"),
        "copied": 0.5,
    }
    other = row | {"completion": "D", "rewright": None, "outcome": "judge_unavailable"}
    log = lines(tmp_path / "log.jsonl", [row, other, row | {"step": 4}])
    first, second = document(log)["groups"]
    assert (first["step"], second["step"], len(first["candidates"])) == (3, 4, 2)
    good, lost = first["candidates"]
    assert "nll" not in good and good["signals"] == {"copied": 0.5}
    assert lost["status"] == "failed" and "total" not in lost and lost["error"]["code"] == "judge_unavailable"


def test_rows_of_a_build_show_what_was_kept_and_what_was_tried(tmp_path: Path) -> None:
    row = {
        "id": "p1", "prompt": [{"role": "user", "content": "P"}],
        "completion": [{"role": "assistant", "content": "kept"}], "origin": "reference",
        "total": None, "nll": 1.1, "attempts": [{"step": "rewrite", "text": "tried"}],
    }  # fmt: skip
    (group,) = document(lines(tmp_path / "rows.jsonl", [row]))["groups"]
    assert [(each["text"], each["origin"]) for each in group["candidates"]] == [
        ("kept", "reference"),
        ("tried", "rewrite"),
    ]


def test_what_cannot_be_shown_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"rows\.jsonl.*neither candidates nor a completion"):
        document(lines(tmp_path / "rows.jsonl", [{"question": "?"}]))
    scored = lines(tmp_path / "scored.jsonl", [{"id": "a", "candidates": [item(1.0)]}])
    groups = lines(tmp_path / "groups.jsonl", [{"id": "a", "candidates": ["x", "y"]}])
    with pytest.raises(InvalidRequest, match="1 scores, and 2 texts under the id 'a'"):
        document(scored, groups=groups)
    assert main(["view", str(tmp_path / "absent.jsonl"), "--out", str(tmp_path / "page.html")]) == 2


def hostile_page(folder: Path, hostile: list[str] = HOSTILE) -> str:
    candidates = [item(1.0) for _ in hostile]
    scored = lines(folder / "scored.jsonl", [{"id": HOSTILE[0], "candidates": candidates}])
    texts = {"id": HOSTILE[0], "problem": HOSTILE[1], "reference": HOSTILE[2], "candidates": hostile}
    return html(document(scored, groups=lines(folder / "groups.jsonl", [texts])))


def test_no_text_ends_the_data_or_becomes_markup(tmp_path: Path) -> None:
    page = hostile_page(tmp_path)
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    (group,) = json.loads(data)["groups"]
    assert [each["text"] for each in group["candidates"]] == HOSTILE
    assert page.count("<script") == 2
    page.encode("utf-8")


def test_the_page_may_run_its_own_script_and_load_nothing(tmp_path: Path) -> None:
    page = hostile_page(tmp_path)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page.split('id="data">')[0])


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed (Debian: apt install chromium)")
def test_a_browser_shows_hostile_texts_as_text(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    # What Chromium prints of a page, it prints as UTF-8, which half of a surrogate pair ends.
    printable = [text for text in HOSTILE if "\ud800" not in text]
    file.write_text(hostile_page(tmp_path, printable), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    shown = done.stdout
    assert 'id="run"' not in shown
    assert shown.count('class="candidate"') == len(printable)
    assert "&lt;img src=x onerror=" in shown
    assert "1 of 1 groups" in shown
