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


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_embeddings_are_compared_first_where_the_group_holds_them(
    sheet: Any, tmp_path: Path, width: str, theme: str
) -> None:
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 900})
    rows = [[1.0, 0.9531, None, -0.25], [0.9531, 1.0, None, 0.5], None, [-0.25, 0.5, None, 1.0]]
    sheet.goto(written(tmp_path, [group(0) | {"similarities": rows}, group(1), group(2) | {"similarities": rows}]))
    sheet.get_by_text("Similar texts").click()
    cells = sheet.locator("#pairs td:not(:empty)")
    shown = [
        "1.000",
        "0.953",
        "–",
        "-0.250",
        "0.953",
        "1.000",
        "–",
        "0.500",
        *["–"] * 4,
        "-0.250",
        "0.500",
        "–",
        "1.000",
    ]
    sync_api.expect(cells).to_have_text(shown)
    told = sheet.text_content("#pairs")
    assert "the cosine of the embeddings of two texts" in told and "Words in common:" not in told
    assert ": a cosine of 0.953. Struck out" in sheet.text_content("#pairs .pair")
    strengths = cells.evaluate_all("found => found.map((each) => each.style.getPropertyValue('--strength'))")
    assert (strengths[2], strengths[3]) == ("0", "0"), "no embedding, and the least similar pair"
    assert 0 < float(strengths[7]) < float(strengths[1]) < 1
    cells.nth(3).click()
    assert "-0.250" in sheet.text_content("#pairs .pair")
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.locator("#pairs").scroll_into_view_if_needed()
    sheet.screenshot(path=PICTURES / f"embeddings-{width}-{theme}.png")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []
    sheet.get_by_label("compared by").select_option("words")
    assert sheet.evaluate("document.activeElement.getAttribute('aria-label')") == "compared by"
    assert "it is told from the texts alone" in sheet.text_content("#pairs").lower()
    assert "this group does not hold" not in sheet.text_content("#pairs")
    assert "in common. Struck out" in sheet.text_content("#pairs .pair")
    sheet.focus("#list")
    sheet.keyboard.press("j")
    assert "this group does not hold" in sheet.text_content("#pairs") and sheet.locator("#pairs select").count() == 2
    sheet.keyboard.press("j")
    assert sheet.get_by_label("compared by").input_value() == "words", (
        "what was chosen stays for the groups that follow"
    )


def test_many_candidates_have_no_matrix_and_a_pair_all_the_same(sheet: Any, tmp_path: Path) -> None:
    alike = [[0.25] * 40 for _ in range(40)]
    sheet.goto(written(tmp_path, [group(0, size=40) | {"similarities": alike}, group(0, size=40)]))
    sheet.get_by_text("Similar texts").click()
    sync_api.expect(sheet.locator("#pairs .pair")).to_contain_text("a cosine of 0.250")
    assert sheet.locator("#pairs table").count() == 0
    assert "colour" not in sheet.text_content("#pairs")
    sheet.focus("#list")
    sheet.keyboard.press("j")
    assert sheet.locator("#pairs table").count() == 0
    assert "more than 32" in sheet.text_content("#pairs") and sheet.locator("#pairs pre").count() == 1


FORMULAS = r"""Half of \(x\) is \(\frac{x}{2}\), and it costs $5 or $10, not \$7.
\[ \int_0^1 \sqrt{x^2 + 1}\,dx = \sum_{k=0}^{n} \binom{n}{k} \left( \frac{1}{2^k} \right) \]
$$\begin{aligned} a &= 6 \cdot 7 \\ &= \cancel{13} \text{ or } 42 \end{aligned}$$
The answer is $\boxed{\dfrac{42}{1}}$."""


def as_written(sheet: Any, place: str) -> list[str]:
    """What each element of this place shows, with every formula put back as it was written."""
    shown: list[str] = sheet.evaluate(
        """(place) => [...document.querySelectorAll(place)].map((each) => {
            const copy = each.cloneNode(true);
            for (const formula of copy.querySelectorAll('.formula')) formula.replaceWith(formula.title);
            return copy.textContent;
        })""",
        place,
    )
    return shown


def of_texts(texts: list[str], **values: Any) -> dict[str, Any]:
    candidates = [{"status": "text", "text": text} for text in texts]
    return {"id": "formulas", "problem": texts[0], "reference": texts[-1], "candidates": candidates} | values


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_formulas_are_typeset_and_shown_as_written_by_a_key(sheet: Any, tmp_path: Path, width: str, theme: str) -> None:
    sheet.emulate_media(color_scheme=theme)
    sheet.set_viewport_size({"width": WIDTHS[width], "height": 900})
    one = group(3) | {"problem": FORMULAS}
    one["candidates"][1] |= {"text": FORMULAS, "rationale": r"$1 + 1 = 2$ holds"}
    del one["candidates"][1]["tokens"]
    sheet.goto(written(tmp_path, [one]))
    assert sheet.locator(".candidate").nth(1).locator("pre math").count() == 5
    assert sheet.locator(".rationale math").count() == 1 and sheet.locator("annotation").count() == 0
    assert as_written(sheet, ".candidate:nth-child(2) pre") == [FORMULAS]
    drawn = sheet.evaluate("""() => { const box = document.querySelector('.candidate mfrac').getBoundingClientRect();
        return [box.width, box.height]; }""")
    assert min(drawn) > 5, "a fraction is drawn as one"
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet.screenshot(path=PICTURES / f"formulas-{width}-{theme}.png", full_page=width == "narrow")
    assert sheet.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert serious(sheet) == []
    assert sheet.locator(".candidate").first.locator("pre span").count() > 5, "tokens go first where there are any"
    sheet.keyboard.press("f")
    assert sheet.locator(".candidate").first.locator("pre span:not(.formula)").count() == 0
    sheet.keyboard.press("f")
    assert sheet.locator("math").count() == 0
    assert sheet.locator(".candidate pre").nth(1).text_content() == FORMULAS
    assert sheet.input_value("#texts") == "written"


BAIT = "window.ran=1;alert(1)"
HOSTILE = [
    f"\\href{{javascript:{BAIT}}}{{x}}", "\\url{http://127.0.0.1:9/}", "\\includegraphics{http://127.0.0.1:9/x.png}",
    "\\htmlData{a=b}{x}\\htmlId{run}{x}\\htmlClass{error}{x}\\htmlStyle{color:red}{x}",
    f"\\text{{<img src=x onerror='{BAIT}'>}}", f"<script>{BAIT}</script>", "</span></pre><h1>x</h1>",
    "\\def\\a{\\a\\a}\\a", "\\newcommand{\\b}[1]{\\b{#1}\\b{#1}}\\b{x}", "\\gdef\\frac#1#2{gone}\\frac12",
    "\\kern-999em x", "\\raisebox{-999em}{x}", "\\rule{9999em}{9999em}", "\\color{transparent}{x}", "\\phantom{x}",
    "\\char`\\<", "\u202e1+1\u202c", "\ud800", "x\x00", "\\unknown{x}", "{", "\\frac{1}", "\\begin{matrix}",
    "\\verb|<b>|", "\\fcolorbox{red}{blue}{x}", "\\pmb{x}", "\\phase{x}",
    "\\boxed{" * 300 + "x" + "}" * 300, "\\sqrt{" * 380 + "x" + "}" * 380,
    "{" * 990 + "x" + "}" * 990, "\\begin{cases}" * 60 + "x" + "\\end{cases}" * 60, "&" * 1900, "x" * 100_000,
    "\\begin{matrix}" + "&" * 1900 + "\\end{matrix}", "\\left(" * 150 + "x" + "\\right)" * 150,
]  # fmt: skip
FRAMES = [("$", "$"), ("$$", "$$"), ("\\(", "\\)"), ("\\[", "\\]")]


def test_hostile_formulas_run_nothing_load_nothing_and_lose_nothing(sheet: Any, tmp_path: Path) -> None:
    texts = [f"{left}{text}{right}" for left, right in FRAMES for text in HOSTILE]
    texts += ["\\(" * 40_000, "$" * 50_001, "$x" * 40_000, "$$" + "\\" * 60_001, "\\[\\(" * 20_000]
    texts.append(" ".join(f"$x_{{{k}}}$" for k in range(9_000)))
    address = written(tmp_path, [of_texts([text]) for text in texts])
    sheet.goto(address)
    slowest = 0.0
    for text in texts:
        assert as_written(sheet, ".candidate pre") == [text]
        assert sheet.locator("#group pre :is(a, img, h1, script, iframe, [href], [src], [id], .error)").count() == 0
        took = sheet.evaluate("""async () => {
            const before = performance.now();
            document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }));
            await new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
            return performance.now() - before;
        }""")
        slowest = max(slowest, took)
    print(f"\n{len(texts)} hostile texts with formulas: the slowest was there after {slowest:.0f} ms")
    assert "there are too many" in sheet.text_content("#group")
    assert sheet.evaluate("window.ran") is None
    assert [url for url in sheet.asked if url != address] == []


def test_a_formula_changes_no_other_and_covers_nothing(sheet: Any, tmp_path: Path) -> None:
    texts = [r"$\gdef\frac#1#2{gone}\gdef\x{gone}\frac12$", r"$\frac12$ $\x$ $\raisebox{9em}{up}$ $\kern-9em left$"]
    sheet.goto(written(tmp_path, [of_texts(texts)]))
    assert sheet.locator(".candidate").nth(1).locator("mfrac").count() == 1
    assert r"$\x$" in sheet.locator(".candidate pre").nth(1).text_content()
    outside = sheet.evaluate("""() => [...document.querySelectorAll('.formula')].filter((formula) =>
        getComputedStyle(formula).contain !== 'paint' || getComputedStyle(formula).overflow !== 'clip').length""")
    assert outside == 0


def test_what_is_too_deep_too_large_or_endless_stays_as_it_was_written(sheet: Any, tmp_path: Path) -> None:
    deep, wide = ("\\boxed{" * n + "x" + "}" * n for n in (25, 2))
    cells, few = ("\\begin{matrix}" + "&" * n + "\\end{matrix}" for n in (1_000, 10))
    bomb, macro = r"\def\a{\a\a}\a", r"\def\a{xx}\a\a"
    texts = [f"${text}$" for text in (deep, wide, cells, few, bomb, macro, "\\unknown", "x^2")]
    sheet.goto(written(tmp_path, [of_texts(texts)]))
    typeset = sheet.eval_on_selector_all(
        ".candidate pre", "all => all.map((each) => each.querySelector('math') !== null)"
    )
    assert typeset == [False, True] * 4
