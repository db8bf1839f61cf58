r"""Steps that give formulas which differ in typesetting alone one spelling: spaces, sizes, colours, wrappers, braces.

Each step comes with what a text must contain for it to have something to do, since looking for that is far quicker than
searching for the pattern. Changes nothing that carries meaning: case, signs, primes, subscripts, the order of parts.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """`within`: only texts that contain it are searched."""

    within: str
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]


def steps(*rows: tuple[str, str, str | Callable[[re.Match[str]], str]]) -> Sequence[Step]:
    return [Step(within, re.compile(pattern), replacement) for within, pattern, replacement in rows]


def apply(text: str, table: Sequence[Step]) -> str:
    for within, pattern, replacement in table:
        if within in text:
            text = pattern.sub(replacement, text)
    return text


SPACE_RUNS = ("", r"\s{2,}", " ")
"""Before anything looks for white space, which would take time by the square of a run."""
_RAISED = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "+-01234567890123456789")
_CURRENCIES = {"€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
_SIZES = (
    r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|[lL]arge|LARGE|[hH]uge|displaystyle|textstyle"
    r"|script(?:script)?style|limits|nolimits|(?:bf|rm|it|sf|tt|bfseries|itshape|rmfamily)(?!\s*\{))(?![A-Za-z])"
)
_UNSEEN = r"(?!\s*(?i:white|transparent|1,1,1|255,255,255|#?f{6})\s*\})"
_COLOURS = (
    rf"\\(?:text)?color(?![a-z])\s*(?:\[[^\[\]{{}}]{{0,20}}\])?\s*\{{{_UNSEEN}[^{{}}]{{0,40}}\}}"
    r"|\\colorbox\s*\{[^{}]{0,40}\}|\\fcolorbox\s*\{[^{}]{0,40}\}\s*\{[^{}]{0,40}\}"
)
_NAMED_ARGUMENT = r"\\(?:pi|theta|alpha|beta|gamma|lambda|mu|phi|omega|sigma|rho|tau)(?![A-Za-z])"


def _money(amount: re.Match[str]) -> str:
    return f"{amount[2] or amount[3]} \\text{{{_CURRENCIES.get(amount[1] or amount[4], 'dollar')}}}"


FIRST = steps(
    ("`", "`", " "),
    SPACE_RUNS,
    # A dollar sign that stands alone is money, two are the ends of a formula.
    ("$", r"^\s*\\?\$\s*([0-9][0-9.,{}]*)\s*$", r"\1 \\text{dollar}"),
    ("$", r"\\?\$", ""),
)
RAISED = steps(
    ("", r"[⁺⁻⁰¹²³⁴-⁹]+", lambda m: "^{" + m[0].translate(_RAISED) + "}"),
    ("", r"[₀-₉]+", lambda m: "_{" + m[0].translate(_RAISED) + "}"),
    ("", r"^\s*([€£¥₹])\s*([0-9][0-9.,{}]*)\s*$|^\s*([0-9][0-9.,]*)\s*([€£¥₹])\s*$", _money),
    ("", r"[€£¥₹]", ""),
)
"""For texts that are not all ASCII."""
BACKSLASHES = steps(
    # Text that was escaped once too often: \\frac for \frac, a literal \n for a new line.
    ("\\\\", r"\\\\(?=(?:[dtc]?frac|boxed|sqrt|left|right|text|pi|cdot|times)(?![a-z])|%)", r"\\"),
    ("\\n", r"\\n(?![A-Za-z])", " "),
    ("\\", r"^\s*\\(?:approx|to|rightarrow|Rightarrow)(?![a-z])(?!=)", ""),
    ("\\", r"(?<!\\)\\[()\[\]]", " "),
    ("\\", r"\\(?:left|right|middle|ensuremath|[bB]igg?[lrm]?)(?![a-z])\.?", ""),
    ("\\", _SIZES, ""),
    ("color", _COLOURS, ""),
    (",\\!", r"(?<=[0-9],)\\!(?=[0-9]{3})", ""),
    ("\\", r"(?<!\\)\\[!;:, >]|\\(?:q?quad|enspace|thinspace|medspace)(?![a-z])|\\[hv]space\{[^{}]*\}", " "),
    SPACE_RUNS,
    ("frac", r"\\[dtc]frac(?![a-z])", r"\\frac"),
    ("\\frac", rf"\\frac\s*([0-9a-zA-Z]|{_NAMED_ARGUMENT})\s*([0-9a-zA-Z]|{_NAMED_ARGUMENT})", r"\\frac{\1}{\2}"),
    ("\\frac", rf"\\frac\s*([0-9a-zA-Z]|{_NAMED_ARGUMENT})\s*\{{", r"\\frac{\1}{"),
    ("\\frac", rf"(\\frac\{{[^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)?\}})\s*([0-9a-zA-Z]|{_NAMED_ARGUMENT})", r"\1{\2}"),
    ("\\sqrt", rf"\\sqrt\s*([0-9a-zA-Z]|{_NAMED_ARGUMENT})", r"\\sqrt{\1}"),
    ("\\log", r"\\log_\{?e\}?(?![a-z])", r"\\ln "),
    ("\\choose", r"\{\s*([^{}\\]{1,30}?)\s*\\choose\s*([^{}\\]{1,30}?)\s*\}", r"\\binom{\1}{\2}"),
    ("\\infty", r"^\s*\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)\s*$", r"\\mathbb{R}"),
    ("\\mathbb", r"\\mathbb\s+([A-Z])", r"\\mathbb{\1}"),
    ("\\", r"\\(?:varnothing|empty)(?![a-z])|\\\{\s*\\\}", r"\\emptyset "),
    ("\\not", r"\\not\s*=", r"\\ne "),
    ("\\not", r"\\not\s*\\in(?![a-z])", r"\\notin "),
    ("\\", r"\^\{?\\(?:circ|degree)(?![a-z])\s*\}?|\\degree(?![a-z])", r" \\text{degree}"),
    ("\\%", r"\\%", "%"),
    ("\\le", r"\\leq(?![a-z])|\\leqslant(?![a-z])", r"\\le "),
    ("\\ge", r"\\geq(?![a-z])|\\geqslant(?![a-z])", r"\\ge "),
    ("\\lt", r"\\lt(?![a-z])", "<"),
    ("\\gt", r"\\gt(?![a-z])", ">"),
    ("\\neq", r"\\neq(?![a-z])", r"\\ne "),
    ("\\vee", r"\\vee(?![a-z])", r"\\lor "),
    ("\\wedge", r"\\wedge(?![a-z])", r"\\land "),
    ("\\", r"\\(?:backslash|smallsetminus)(?![a-z])", r"\\setminus "),
    ("\\ast", r"(?<!\^)(?<!\^\{)\\ast(?![a-z])", "*"),
    ("\\mapsto", r"([A-Za-z])\s*:\s*([a-z])\s*\\mapsto(?![a-z])", r"\1(\2)="),
    ("{{", r"\{\{([^{}]*)\}\}", r"{\1}"),
    ("\\approx", r"\\approxeq(?![a-z])", r"\\approx "),
    ("\\simeq", r"\\simeq(?![a-z])", r"\\approx "),
    ("\\prime", r"\^\{((?:\\prime ?)+)\}|\^(\\prime)(?![a-z])", lambda m: "'" * m[0].count("\\prime")),
    ("angle", r"\\langle(?![a-z])", "("),
    ("angle", r"\\rangle(?![a-z])", ")"),
    ("{}", r"(?<![\\}\w^_])\{\}", ""),
    ("\\lg", r"\\lg(?![a-z])", r"\\log_{10}"),
    ("brace", r"\\(?:lbrace)(?![a-z])", r"\\{"),
    ("brace", r"\\(?:rbrace)(?![a-z])", r"\\}"),
    ("^", r"\\(?:mathrm|text|textrm|mbox)\{\s*([a-zA-Z]{2,12})\s*\^\s*([23])\s*\}", r"\\text{\1}^\2"),
    ("{", r"(?<=[0-9])\\(?:mathrm|text|textrm|mbox)\{\s*([mgslh])\s*\}", r" \1"),  # a unit, and no symbol
    (
        "{",  # but for the units of one letter that stand behind a number
        r"(?<![0-9])(?<![0-9] )\\(?:mathrm|text|textrm)\{\s*([a-zA-Z])\s*\}"
        r"|\\(?:mathrm|text|textrm)\{\s*((?![LJVW])[a-zA-Z])\s*\}",
        lambda m: m[1] or m[2],
    ),
    (
        "{",
        r"\\(?:(?:textbf|mathbf|boldsymbol|textit|mathit|emph|bf|bm|pmb|mathsf|mathtt|texttt|rm)\s*(?=\{)\{([^{}]*)\}"
        r"|(?:mbox|textnormal|textrm|mathrm|textsf|hbox)\{([^{}]*)\})",
        lambda m: f"\\text{{{m[1] if m[1] is not None else m[2]}}}",
    ),
    ("matrix", r"\\begin\{(?:[bB]|small)?matrix\}", r"\\begin{pmatrix}"),
    ("matrix", r"\\end\{(?:[bB]|small)?matrix\}", r"\\end{pmatrix}"),
    ("\\underline", r"\\underline\{\s*(-?[0-9.,]+)\s*\}", r"\1"),
    ("array", r"[(\[]\s*\\begin\{array\}\{[clr|]*\}", r"\\begin{pmatrix}"),
    ("array", r"\\end\{array\}\s*[)\]]", r"\\end{pmatrix}"),
    ("pmatrix", r"[(\[]\s*(\\begin\{pmatrix\}(?:[^\\]|\\(?!begin|end))*\\end\{pmatrix\})\s*[)\]]", r"\1"),
)
"""For texts with a backslash."""
PLAIN = steps(
    ("=", r"^\s*=(?!=)", ""),
    ("~", "~", " "),
    (
        "s",
        r"(?:(?<![a-zA-Z\\])sqrt|\\surd)\s*(?:\(([^()]*)\)|(?<=\\surd )([0-9]+|[A-Za-z]))",
        lambda m: f"\\sqrt{{{m[1] or m[2]}}}",
    ),
    ("pi", r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi "),
    ("1", r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)", r"\\times "),
    ("'", r"^\s*([0-9]{1,3})\s?'\s?([0-9]{1,2}(?:\.[0-9]+)?)\s?(?:\"|'')\s*$", r"\1 feet \2 inches"),
    ("]", r"^\s*\]([^\[\]]*)\[\s*$", r"(\1)"),
    ("]", r"^\s*\]([^\[\]]*)\]\s*$", r"(\1]"),
    ("[", r"^\s*\[([^\[\]]*)\[\s*$", r"[\1)"),
    ("{,}", r"\{,\}", ","),
    ("**", r"(?<=[\w)}])\*\*(?=[-\w({])", "^"),
    ("<=", "<=", r"\\le "),
    (">=", ">=", r"\\ge "),
    ("!=", "!=", r"\\ne "),
    ("__", "__", ""),
    ("**", r"\*\*", ""),
)
