"""Texts of a group in a real browser: candidates two by two, and formulas."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.view.shown_pages import PICTURES, THEMES, WIDTHS, group, serious, written

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `make test-view` does it")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_candidates_are_compared_two_by_two(sheet: Any, tmp_path: Path, width: str, theme: str) -> None:
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 900})
    shown = [group(k, size=8) for k in (0, 1)]
    shown[0]["candidates"][5]["text"] = shown[0]["candidates"][1]["text"]
    sheet.goto(written(tmp_path, shown))
    sheet.get_by_text("Similar texts").click()
    cells = sheet.locator("#pairs tr:nth-child(3) td").all_text_contents()
    assert len(cells) == 8 and cells[1] == cells[5] == "1.00" and float(cells[0]) < 1
    assert "not the similarity of embeddings" in sheet.text_content("#pairs")
    sheet.locator("#pairs tr:nth-child(3) td").nth(0).click()
    told = [sheet.locator(f"#pairs pre > :not({other})").all_text_contents() for other in ("ins", "del")]
    assert ["".join(parts) for parts in told] == [shown[0]["candidates"][k]["text"] for k in (1, 0)]
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.locator("#pairs").scroll_into_view_if_needed()
    sheet.screenshot(path=PICTURES / f"pairs-{width}-{theme}.png")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []


def test_a_pair_is_chosen_by_keys_and_the_next_group_begins_anew(sheet: Any, tmp_path: Path) -> None:
    sheet.goto(written(tmp_path, [group(0), group(1)]))
    sheet.focus("#pairs summary")
    sheet.keyboard.press("Enter")
    sync_api.expect(sheet.locator("#pairs select")).to_have_count(2)
    sheet.get_by_label("the other candidate").focus()
    sheet.keyboard.press("ArrowDown")
    assert "#1 to #2" not in sheet.text_content("#pairs .pair")
    assert sheet.evaluate("document.activeElement.getAttribute('aria-label')") == "the other candidate"
    assert sheet.input_value("select[aria-label='the other candidate']") == "2"
    sheet.focus("#list")
    sheet.keyboard.press("j")
    assert sheet.input_value("select[aria-label='the other candidate']") == "1"
    assert sheet.locator("#pairs").get_attribute("open") is not None


def test_many_candidates_have_no_matrix_and_a_pair_all_the_same(sheet: Any, tmp_path: Path) -> None:
    sheet.goto(written(tmp_path, [group(0, size=40)]))
    sheet.get_by_text("Similar texts").click()
    assert sheet.locator("#pairs table").count() == 0
    assert "more than 32" in sheet.text_content("#pairs") and sheet.locator("#pairs pre").count() == 1
