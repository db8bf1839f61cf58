"""Photograph the page of `rewright view` for the docs: real groups as the service scores them, in a real browser.

    make view-picture                          # docs/view.png
    python examples/view_picture.py [FILE.png]

Starts the service on the embedded models, posts `groups.json` as `make demo` does, asks for tokens by likelihood too,
and photographs the group `ticket-sale` with its candidates. Needs Playwright (the extra `browser`) and Chromium.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import sync_playwright
from service_process import running_service

from rewright.clients.view.documents import document
from rewright.clients.view.page import html

HERE = Path(__file__).resolve().parent
BODY = HERE / "groups.json"
PICTURE = HERE.parent / "docs" / "view.png"
GROUP = "ticket-sale"
SIZE = {"width": 1280, "height": 860}


def main() -> int:
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("no browser is installed (Debian: apt install chromium)")
    body = json.loads(BODY.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html(scored(body, Path(folder))), encoding="utf-8")
        photograph(page, file, browser)
    print(f"wrote {file}")
    return 0


def scored(body: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the page shows of the service's answer to this body, beside the body's texts, with tokens."""
    with running_service() as url, httpx.Client(base_url=url, timeout=300) as client:
        answer = _posted(client, "/v1/reward", body)
        groups = {"groups": body["groups"], "tokens": True}
        for group, nlls in zip(answer["groups"], _posted(client, "/v1/nll", groups)["groups"], strict=True):
            for candidate, nll in zip(group["candidates"], nlls["candidates"], strict=True):
                candidate["tokens"] = nll.get("tokens")
    answered, asked = folder / "groups.json", folder / "request.json"
    answered.write_text(json.dumps(answer), encoding="utf-8")
    asked.write_text(json.dumps(body), encoding="utf-8")
    return document(str(answered), groups=str(asked), rule=body.get("rule")) | {"title": BODY.name}


def photograph(page: Path, file: Path, browser: str) -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        sheet = chromium.new_page(viewport=SIZE, color_scheme="light")
        sheet.goto(page.as_uri())
        sheet.get_by_text(GROUP).click()
        sheet.screenshot(path=file)
        chromium.close()


def _posted(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


if __name__ == "__main__":
    sys.exit(main())
