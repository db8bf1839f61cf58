"""Where formulas begin and end in a text, as the page finds them."""

import random

import pytest

from tests.clients.view.page_code import in_the_page, needs_node

pytestmark = needs_node


@pytest.mark.parametrize(
    ("text", "formulas"),
    [
        ("so $x^2$ and \\(y\\).", ["x^2", "y"]),
        ("$$a\n=b$$ then \\[c\\]", ["a\n=b", "c"]),
        ("it costs $5 and then $10.", []),
        ("$5+$10=$15", []),
        ("$ x$ and $x $ and $$", []),
        ("\\$5 and $6$", ["6"]),
        ("$a \\$ b$", ["a \\$ b"]),
        ("$a\n\nb$", []),
        ("$a\nb$", ["a\nb"]),
        ("\\\\[2pt] x \\\\(y\\)", []),
        ("\\(open and $z$", ["z"]),
        ("$\\boxed{42}$.", ["\\boxed{42}"]),
        ("$" + "x" * 2_001 + "$", []),
        ("\\( \\)", []),
        ("", []),
    ],
)
def test_formulas_are_found(text: str, formulas: list[str]) -> None:
    parts = in_the_page("formulas", "formulas.split(text)", text=text)
    assert "".join(part["text"] for part in parts) == text
    assert [part["tex"] for part in parts if "tex" in part] == formulas


def test_parts_spell_the_text_to_the_last_character() -> None:
    dice = random.Random(5)
    signs = ["$", "$$", "\\(", "\\)", "\\[", "\\]", "\\", "x", " ", "\n", "5", "\\frac", "{", "}"]
    texts = ["".join(dice.choices(signs, k=dice.randrange(40))) for _ in range(2_000)]
    found = in_the_page("formulas", "texts.map(formulas.split)", texts=texts)
    assert ["".join(part["text"] for part in parts) for parts in found] == texts
    assert any("tex" in part for parts in found for part in parts)
