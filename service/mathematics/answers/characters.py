r"""One character for each sign that is written in several: digits, minus signs, letters of formulas, white space.

Digits of every script are digits, full-width forms and the letters of mathematical alphabets are the plain ones, dashes
are minus signs, marks that show nothing are left out. What only looks like a digit (a letter O or l), and what turns
the reading direction, stays as it is, so that it equals nothing.
"""

import unicodedata

_SIGNS = {
    "×": "\\times ", "·": "\\cdot ", "⋅": "\\cdot ", "∙": "\\cdot ", "÷": "/", "∞": "\\infty ", "≤": "\\le ",
    "≥": "\\ge ", "⩽": "\\le ", "⩾": "\\ge ", "≠": "\\ne ", "≈": "\\approx ", "∪": "\\cup ", "∩": "\\cap ",
    "∈": "\\in ", "∉": "\\notin ", "∖": "\\setminus ", "∣": "\\mid ", "∨": "\\lor ", "∧": "\\land ", "∀": "\\forall ",
    "±": "\\pm ", "∓": "\\mp ", "√": "\\surd ", "∅": "\\emptyset ", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}",
    "ℚ": "\\mathbb{Q}", "ℕ": "\\mathbb{N}", "ℂ": "\\mathbb{C}", "→": "\\to ", "⇒": "\\Rightarrow ", "°": "^\\circ ",
    "º": "^\\circ ", "¢": "\\text{ cents}", "‰": "\\text{ per mille}", "。": ".", "’": "'", "′": "'", "`": " ",
    "⁄": "/", "∕": "/", "٫": ".", "٬": ",", "、": ",", "٪": "%", "α": "\\alpha ", "β": "\\beta ", "γ": "\\gamma ",
    "δ": "\\delta ", "ε": "\\epsilon ", "θ": "\\theta ", "λ": "\\lambda ", "μ": "\\mu ", "π": "\\pi ",
    "ρ": "\\rho ", "σ": "\\sigma ", "τ": "\\tau ", "φ": "\\phi ", "ω": "\\omega ", "Δ": "\\Delta ",
}  # fmt: skip
_MINUS_SIGNS = "‐‑‒–—―−﹘﹣－➖˗"
_SHOW_NOTHING = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u061c\u180e\ufe0e\ufe0f"


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if category == "Zs":
        return " "
    if "\uff01" <= character <= "\uff5e" or "\U0001d400" <= character <= "\U0001d7ff":
        plain = unicodedata.normalize("NFKC", character)
        return _SIGNS.get(plain, plain)
    if unicodedata.decomposition(character).startswith("<fraction>"):
        over, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
        return f"\\frac{{{over}}}{{{below}}}" if below else character
    return character


_GIVEN = _SIGNS | dict.fromkeys(_MINUS_SIGNS, "-") | dict.fromkeys(_SHOW_NOTHING, "")
_IN_PROSE = {"．": ".", "％": "%"} | dict.fromkeys("−－﹣➖", "-") | dict.fromkeys(_SHOW_NOTHING, "")


def plain_characters(text: str) -> str:
    """The text with one character for each sign."""
    if text.isascii():
        return text
    return text.translate(
        {ord(sign): _GIVEN[sign] if sign in _GIVEN else _plain(sign) for sign in set(text) if not sign.isascii()}
    )


def plain_digits(text: str) -> str:
    """A text of prose with the digits and minus signs of its numbers as plain ones, and nothing else changed."""
    if text.isascii():
        return text
    table = {ord(sign): _IN_PROSE[sign] for sign in set(text) & _IN_PROSE.keys()}
    table |= {ord(sign): str(unicodedata.decimal(sign)) for sign in set(text) if sign > "\x7f" and sign.isdecimal()}
    return text.translate(table) if table else text
