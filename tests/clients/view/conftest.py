"""A browser and its tabs for the tests of the page.

`make test-view` installs Playwright and axe-core and runs them with Debian's Chromium; without them they are skipped.
"""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no browser is installed (Debian: apt install chromium)")
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: `make test-view` does it"
    )
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def sheet(browser: Any) -> Iterator[Any]:
    """A tab that fails the test for an error of a script, and remembers what was asked of any network."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    tab.errors, tab.asked = [], []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("dialog", lambda dialog: tab.errors.append(f"a dialog: {dialog.message[:60]}"))
    tab.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    assert tab.errors == []
    context.close()
