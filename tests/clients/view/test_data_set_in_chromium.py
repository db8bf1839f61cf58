"""A data set before and after in a real browser: rows side by side, decided by keys, saved as lines."""

import json
from pathlib import Path
from typing import Any

import pytest

from rewright.clients.view.data_sets import compared
from rewright.clients.view.documents import document
from rewright.clients.view.page import html
from tests.clients.view.shown_pages import PICTURES, THEMES, WIDTHS, serious

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make test-view` does it")


def rows_of(k: int) -> tuple[dict[str, Any], dict[str, Any]]:
    problem = f"A shop has {k + 3} boxes with 12 pens each. How many pens are there?"
    said = f"There are {k + 3} boxes of 12 pens, and {k + 3} * 12 = {12 * (k + 3)}. The answer is {12 * (k + 3)}."
    old = {"id": f"p{k}", "problem": problem, "reference": f"{k + 3} * 12 = {12 * (k + 3)}\n#### {12 * (k + 3)}"}
    new = {"id": f"p{k}", "prompt": problem, "completion": said, "origin": "rewrite", "nll": 0.4 + k / 10,
           "reference_nll": 1.9 - k / 10, "big": 2**60 + k, "whole": 1.0}  # fmt: skip
    return old, new


def files(folder: Path, count: int = 6) -> tuple[Path, Path]:
    before, after = folder / "before.jsonl", folder / "after.jsonl"
    for file, side in ((before, 0), (after, 1)):
        file.write_text("".join(json.dumps(rows_of(k)[side]) + "\n" for k in range(count)), encoding="utf-8")
    return before, after


def opened(sheet: Any, folder: Path, shown: dict[str, Any]) -> None:
    (folder / "page.html").write_text(html(shown), encoding="utf-8")
    sheet.goto((folder / "page.html").as_uri())


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_are_kept_and_rejected_by_keys_and_saved(sheet: Any, tmp_path: Path, width: str, theme: str) -> None:
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 900})
    before, after = files(tmp_path)
    opened(sheet, tmp_path, compared(str(before), str(after)))
    assert "6 rows (mean NLL of 6: 1.650 → 0.650) · 0 kept" in sheet.text_content("#dataSet .said")
    for key in ("y", "n", "y", "y", "n"):
        sheet.keyboard.press(key)
    sheet.keyboard.press("k")
    sheet.keyboard.press("u")
    assert sheet.text_content("#group h2") == "p4"
    assert "3 kept (mean NLL of 3: 1.733 → 0.567) · 1 rejected · 2 undecided" in sheet.text_content("#dataSet .said")
    assert sheet.locator("#pair h3").all_text_contents() == [
        "Before · NLL 1.500",
        "After · NLL 0.800 · -0.700 · rewrite",
    ]
    sheet.keyboard.press("k")
    assert "kept" in sheet.locator("#pair h3").last.text_content()
    sides = [rows_of(3)[0]["reference"], rows_of(3)[1]["completion"]]
    assert sheet.locator("#pair pre").all_text_contents() == sides
    assert sheet.locator(".candidate").count() == 0
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.screenshot(path=PICTURES / f"data-set-{width}-{theme}.png", full_page=width == "narrow")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []
    for button, kept in (("Save 3 kept", [0, 2, 3]), ("Save 5 not rejected", [0, 2, 3, 4, 5])):
        with sheet.expect_download() as download:
            sheet.get_by_role("button", name=button).click()
        download.value.save_as(tmp_path / "kept.jsonl")
        lines = after.read_text(encoding="utf-8").splitlines()
        assert (tmp_path / "kept.jsonl").read_text(encoding="utf-8").splitlines() == [lines[k] for k in kept]


def test_rows_are_sorted_by_what_their_nll_became(sheet: Any, tmp_path: Path) -> None:
    before, after = files(tmp_path)
    opened(sheet, tmp_path, compared(str(before), str(after)))
    sheet.select_option("#sort", "change")
    assert sheet.text_content("#group h2") == "p5"
    sheet.keyboard.press("n")
    assert sheet.text_content("#group h2") == "p4"
    sheet.select_option("#sort", "order")
    assert sheet.locator(".row", has_text="rejected").count() == 1
    assert "rejected" in sheet.locator(".row").nth(5).text_content()


def test_a_build_has_its_rows_before_and_after_and_its_attempts(sheet: Any, tmp_path: Path) -> None:
    signals = {"n_tokens": 3, "length_ratio": 1.0, "repeated": 0.0, "copied": 0.0}
    rows = [rows_of(k)[1] | {"reference": "R <b>x</b>", "total": 1.0, "gate": "open", "r_task": 1, "signals": signals,
                             "attempts": [{"step": "rewrite", "text": "tried"}]} for k in range(3)]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    opened(sheet, tmp_path, document(str(tmp_path / "rows.jsonl")))
    assert sheet.locator("#pair pre").first.text_content() == "R <b>x</b>"
    assert sheet.locator(".candidate").count() == 2
    sheet.keyboard.press("y")
    assert sheet.text_content("#group h2") == "p0", "keys decide only where the panel is open"
    sheet.get_by_text("Before and after").click()
    sheet.keyboard.press("y")
    assert sheet.text_content("#group h2") == "p1"
    sheet.get_by_text("Judge and labels").click()
    assert sheet.locator("#dataSet").get_attribute("open") is None, "one job at a time has the keys"


def test_thousands_of_rows_are_there_at_once(sheet: Any, tmp_path: Path) -> None:
    before, after = files(tmp_path, 5_000)
    opened(sheet, tmp_path, compared(str(before), str(after)))
    sheet.wait_for_selector(".row")
    took = sheet.evaluate("performance.now()")
    slowest = sheet.evaluate("""() => {
        let slowest = 0;
        for (let k = 0; k < 50; k += 1) {
            const before = performance.now();
            document.dispatchEvent(new KeyboardEvent('keydown', { key: k % 2 ? 'y' : 'n' }));
            slowest = Math.max(slowest, performance.now() - before);
        }
        return slowest;
    }""")
    print(f"\n5,000 rows: there by {took:.0f} ms; of 50 decisions the slowest took {slowest:.0f} ms")
    assert "25 kept" in sheet.text_content("#dataSet .said")
