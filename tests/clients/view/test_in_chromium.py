"""The page in a real browser: thousands of groups, hostile texts, keys, controls, both themes and widths, and `/ui`.

Without a browser, Playwright or axe-core they are skipped. Pictures for looking at go to build/view.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from rewright.clients.view.page import report
from rewright.service.commands.labelled_rows import labelled_rows
from rewright.service.settings import Settings
from tests.clients.view.shown_pages import PICTURES, THEMES, WIDTHS, group, serious, written
from tests.live_server import serve_app
from tests.plain_scorers import plain_scorers

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make test-view` does it")


def numbered(sheet: Any) -> list[float | None]:
    shown = sheet.eval_on_selector_all(".candidate header b", "found => found.map(each => each.textContent)")
    return [None if text == "–" else float(text) for text in shown]


def test_thousands_of_groups_are_there_at_once_and_scroll(sheet: Any, tmp_path: Path) -> None:
    address = written(tmp_path, [group(k) for k in range(5_000)])
    sheet.goto(address)
    sheet.wait_for_selector(".row")
    found = sheet.evaluate("""() => ({
        paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime, now: performance.now() })""")
    size = (tmp_path / "page.html").stat().st_size / 1e6
    print(f"\n5,000 groups, {size:.1f} MB: first paint {found['paint']:.0f} ms, rows by {found['now']:.0f} ms")
    assert sheet.text_content("#count") == "5000 of 5000 groups"
    slowest = sheet.evaluate("""async () => {
        const list = document.getElementById('list');
        let slowest = 0;
        for (let k = 1; k <= 50; k += 1) {
            const before = performance.now();
            list.scrollTop = (list.scrollHeight * k) / 50;
            await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
            slowest = Math.max(slowest, performance.now() - before);
        }
        return slowest;
    }""")
    print(f"50 jumps through the list: the slowest took two frames in {slowest:.0f} ms")
    assert "p4999" in sheet.text_content(".row:last-child")
    assert sheet.locator(".row").count() < 60
    sheet.fill("#search", "p4321")
    assert sheet.text_content("#count") == "1 of 5000 groups"
    assert sheet.text_content("#group h2") == "p4321"


def test_a_page_of_fifty_groups_can_be_mailed(tmp_path: Path) -> None:
    written(tmp_path, [group(k, size=10) for k in range(50)])
    size = (tmp_path / "page.html").stat().st_size
    print(f"\n50 groups of 10 with tokens: {size / 1e6:.2f} MB")
    assert size < 1_500_000


def hostile_texts() -> list[str]:
    bait = "window.ran=1;alert(1)"
    marks = [
        f"<script>{bait}</script>", f"</script><script>{bait}</script>", f"<img src=x onerror='{bait}'>",
        f"<svg onload='{bait}'>", f"<iframe srcdoc='<script>parent.{bait}</script>'></iframe>", "<!--<script>", "]]>",
        "<link rel=stylesheet href=http://127.0.0.1:9/x.css>", "<img src=http://127.0.0.1:9/x.png>",
        "<style>*{display:none}</style>", "<base href=http://127.0.0.1:9/>", f"<a href='javascript:{bait}'>x</a>",
        f"<form action=http://127.0.0.1:9/><button autofocus onfocus='{bait}'>", "<meta http-equiv=refresh content=0>",
        "{{script}}{{data}}{{style}}", "&lt;script&gt;", "\u202egnp.exe\u202c", "\u2066\u202b\u2069", "a\u2028b\u2029c",
        "\ud800", "x\udc00y", "\x00\x07\x1b[31m", "$$\\def\\a{\\a\\a}\\a$$", "\\href{javascript:alert(1)}{x}",
        "`${ran=1}`",
    ]  # fmt: skip
    around = ["{}", "\n\n{}\n", "\"'{}'\"", "<b>{}</b>", "{0}{0}", "<!--{}", "1 < 2 {} > 0", "<![CDATA[{}]]>"]
    return [frame.replace("{0}", text).replace("{}", text) for frame, text in itertools.product(around, marks)]


def test_hostile_texts_are_shown_as_text_and_nothing_leaves(sheet: Any, tmp_path: Path) -> None:
    texts = hostile_texts()
    assert len(texts) == 200
    texts.append("<b>mega</b>" * 300_000)
    signals = {"n_tokens": 3, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.0}
    scored = [
        {"status": "scored", "total": 1.0, "gate": "open", "r_task": 1, "signals": signals, "text": t} for t in texts
    ]
    scored += [{"status": "failed", "error": {"code": t, "message": t}, "text": t} for t in texts[:200]]
    scored += [{"status": "scored", "total": 0.0, "gate": t, "r_task": 0, "text": t, "origin": t,
                "extracted": t, "rationale": t, "tokens": [{"text": t, "logprob": -1.0}]}
               for t in texts[:200]]  # fmt: skip
    groups = [
        {"id": text, "problem": text, "reference": text, "answer": text, "candidates": scored if k == 0 else scored[:2]}
        for k, text in enumerate(texts[:200])
    ]
    address = written(tmp_path, groups)
    sheet.goto(address)
    sheet.wait_for_selector(".candidate")
    sheet.select_option("#texts", "written")
    same = sheet.evaluate(
        """(texts) => {
            const shown = [...document.querySelectorAll('.candidate pre')].map((each) => each.textContent);
            return JSON.parse(texts).filter((text, k) => shown[k] !== text).length;
        }""",
        json.dumps([*texts, *texts[:200], *texts[:200]]),
    )
    assert same == 0
    sheet.select_option("#texts", "tokens")
    for k in range(199):
        sheet.keyboard.press("j")
        if k % 40 == 0:
            sheet.wait_for_timeout(1)
    assert sheet.evaluate("document.scripts.length") == 2
    strange = "script:not(#data), img, iframe, link, base, style, meta[http-equiv=refresh]"
    assert sheet.evaluate(f"document.body.querySelectorAll('{strange}').length") == 1, "the page's own script alone"
    assert sheet.evaluate("window.ran") is None
    assert [url for url in sheet.asked if url != address] == []


def test_keys_move_search_and_compare(sheet: Any, tmp_path: Path) -> None:
    sheet.goto(written(tmp_path, [group(k) for k in range(30)]))
    sheet.keyboard.press("j")
    assert sheet.text_content("#group h2") == "p1"
    sheet.focus("#list")
    sheet.keyboard.press("ArrowDown")
    sheet.keyboard.press("k")
    assert sheet.text_content("#group h2") == "p1"
    sheet.keyboard.press("/")
    sheet.keyboard.type("p17")
    assert sheet.text_content("#group h2") == "p17"
    reached = set()
    for _ in range(60):
        sheet.keyboard.press("Tab")
        reached.add(sheet.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"list", "theme", "sort"} <= reached and {"INPUT", "PRE", "BUTTON"} <= reached


def test_controls_move_totals_as_the_service_would_and_go_back(sheet: Any, tmp_path: Path) -> None:
    shown = group(1)
    sheet.goto(written(tmp_path, [shown]))
    totals = [item["total"] for item in shown["candidates"]]
    assert numbered(sheet) == pytest.approx(totals, abs=1e-3)
    sheet.locator("#rule label", has_text="λ_dist").locator("input").fill("3")
    right = [item["total"] + 2 * (item["r_dist"] or 0) if item["r_task"] else 0.0 for item in shown["candidates"]]
    assert numbered(sheet) == pytest.approx(right, abs=1e-3)
    sheet.locator("#rule label", has_text="min length").locator("input").fill("1")
    assert sheet.locator(".path .shut", has_text="guard_length_ratio").count() > 0
    sheet.get_by_role("button", name="as in the file").click()
    assert numbered(sheet) == pytest.approx(totals, abs=1e-3)


def test_hacking_is_seen_over_steps(sheet: Any, tmp_path: Path) -> None:
    """Texts that copy more and more, and are paid for it."""
    groups = []
    for step in range(6):
        for k in range(3):
            one = group(10 * step + k, step=5 * step)
            for place, item in enumerate(one["candidates"]):
                item["signals"]["copied"] = 0.1 * step + 0.05 * place
                item["total"] = 1.0 + item["signals"]["copied"]
            groups.append(one)
    sheet.goto(written(tmp_path, groups))
    sheet.get_by_text("Over steps").click()
    copied = sheet.locator("figure", has_text="copied share")
    assert "0.075 → 0.575 · r 1.00" in copied.text_content()
    copied.locator("svg").click(position={"x": 2, "y": 20})
    assert sheet.text_content("#count") == "3 of 18 groups" and sheet.text_content("#stepText") == "0"
    sheet.focus("#step")
    sheet.keyboard.press("ArrowRight")
    assert sheet.text_content("#stepText") == "5"
    PICTURES.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        sheet.emulate_media(color_scheme=theme)
        sheet.screenshot(path=PICTURES / f"steps-{theme}.png")
        assert serious(sheet) == []


def test_another_rule_tells_what_it_does_to_all_groups(sheet: Any, tmp_path: Path) -> None:
    sheet.goto(written(tmp_path, [group(k) for k in range(50)]))
    assert sheet.locator("#effect").is_hidden()
    sheet.locator("#rule label", has_text="λ_dist").locator("input").fill("0")
    sync_api.expect(sheet.locator("#effect")).to_contain_text("of 50 groups")
    assert sheet.text_content("#effect").startswith("Another best candidate in ")
    sheet.get_by_role("button", name="as in the file").click()
    assert sheet.locator("#effect").is_hidden()


def test_a_judge_is_labelled_by_keys_and_the_labels_are_read_by_judge_eval(sheet: Any, tmp_path: Path) -> None:
    groups = [group(k) for k in range(3)]
    for one in groups:
        for item, score in zip(one["candidates"], (0.1, 0.6, 0.7, 0.95), strict=True):
            item["score"] = score
    sheet.goto(written(tmp_path, groups))
    sheet.get_by_text("Judge and labels").click()
    sheet.focus("#list")
    for key in ("n", "n", "y", "y"):
        sheet.keyboard.press(key)
    assert sheet.locator(".candidate .label").all_text_contents() == ["unsound", "unsound", "sound", "sound"]
    assert "at 0.50: precision 0.67 of 3 labelled that it takes, recall 1.00 of 2" in sheet.text_content("#judge .said")
    sheet.locator("#judge input").fill("0.65")
    sheet.locator("#judge input").dispatch_event("change")
    assert "precision 1.00 of 2" in sheet.text_content("#judge .said")
    sheet.keyboard.press("j")
    sheet.keyboard.press("l")
    sheet.keyboard.press("y")
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.screenshot(path=PICTURES / "judge.png")
    assert serious(sheet) == []
    with sheet.expect_download() as download:
        sheet.get_by_role("button", name="Save 5 labels").click()
    download.value.save_as(tmp_path / "labels.jsonl")
    rows = labelled_rows(str(tmp_path / "labels.jsonl"))
    assert [row.valid for row in rows] == [False, False, True, True, True]
    assert rows[4].candidate == groups[1]["candidates"][1]["text"] and rows[4].problem == groups[1]["problem"]


def test_a_group_is_posted_by_the_form_and_shown(sheet: Any) -> None:
    with serve_app(plain_scorers(), Settings(ui=True, api_keys="secret-key")) as server:
        sheet.goto(f"{server.url}/ui")
        request = {"groups": [{"id": "g", "problem": "P", "reference": "R", "answer": "1", "candidates": [
            "ans=1 rea=1 nll=0.5 e=0", "ans=1 rea=1 nll=0.9 e=1", "ans=0"]}]}  # fmt: skip
        sheet.fill(".ask textarea", json.dumps(request))
        sheet.get_by_role("button", name="Score").click()
        sheet.wait_for_selector(".ask .error")
        sheet.fill(".ask input[type=password]", "secret-key")
        sheet.get_by_role("button", name="Score").click()
        sheet.wait_for_selector(".candidate")
        assert sheet.locator(".path .shut").text_content() == "answer: wrong"
        assert "says42" in sheet.locator(".candidate").first.text_content()
        sheet.get_by_text("Similar texts").click()
        sync_api.expect(sheet.locator("#pairs tr:nth-child(2) td")).to_have_text(["1.000", "0.540", "1.000"])
        sheet.get_by_role("checkbox", name="similarities of embeddings").uncheck()
        sheet.get_by_role("button", name="Score").click()
        sync_api.expect(sheet.locator("#pairs")).to_contain_text("which this group does not hold")
        assert sheet.locator(".candidate pre span").count() == 6
        PICTURES.mkdir(parents=True, exist_ok=True)
        sheet.screenshot(path=PICTURES / "ui.png")
        assert serious(sheet) == []
        sheet.set_viewport_size({"width": WIDTHS["narrow"], "height": 800})
        assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
        assert all(url.startswith(server.url) for url in sheet.asked)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_serious_stands_in_anybodys_way(sheet: Any, tmp_path: Path, width: str, theme: str) -> None:
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 800})
    sheet.goto(written(tmp_path, [group(k, step=k // 8) for k in range(40)]))
    sheet.wait_for_selector(".candidate")
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.screenshot(path=PICTURES / f"view-{width}-{theme}.png", full_page=width == "narrow")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_reports_have_the_same_look(sheet: Any, tmp_path: Path, width: str, theme: str) -> None:
    rows = "".join(f"<tr><td>{name}</td><td class=n>0.5</td><td class=n>123</td></tr>" for name in ("SFT", "x" * 90))
    head = "<thead><tr><th>method</th><th>NLL</th><th>rows</th></tr></thead>"
    table = f'<div class="wide" tabindex="0"><table>{head}{rows}</table></div>'
    file = tmp_path / "report.html"
    file.write_text(
        report("Report", f"<h1>Report of {'/folder' * 20}</h1><h2>Table</h2>{table}<pre>{'a ' * 200}</pre>"),
        encoding="utf-8",
    )
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 600})
    sheet.goto(file.as_uri())
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.screenshot(path=PICTURES / f"report-{width}-{theme}.png")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []
