r"""Small marks that make another answer: letter case, primes, hats, negation strokes, names of angles.

The LaTeX reader drops or misreads them (it takes ∠ABC for a product), so both answers must carry them alike before
anything is computed. Not covered: what the marks mean; the transpose of A written in words differs from A^T.
"""

import re

COMMAND = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+(?:\{[a-z]*matrix\})?")
"""What is no symbol of a formula although it is written with letters."""
_LETTER = re.compile(r"[A-Za-z]")
_GREEK = re.compile(
    r"\\(?:[Gg]amma|[Dd]elta|[Tt]heta|[Ll]ambda|[Xx]i|[Pp]i|[Ss]igma|[Uu]psilon|[Pp]hi|[Pp]si|[Oo]mega)(?![a-z])"
)
_ANGLE = re.compile(r"\\(?:measured)?angle\s*\{?([A-Z]{2,4})")
_MARKS = (
    re.compile(r"\\(?:not|neg|lnot)(?![a-z])"),
    re.compile(r"\^\{?(?:T|\\top|\\dagger|\\ast|\*|\\complement|c)(?![A-Za-z0-9])"),
    re.compile(r"(?<![A-Za-z])[A-Za-z]\^\{-1\}\([A-Za-z]\)"),
    re.compile(r"\\[lcvd]?dots(?![a-z])"),
    re.compile(r"(?<![A-Za-z\\_{^])[A-Z][0-9]"),
    re.compile(r"\\(?:dot|ddot|hat|tilde|vec|bar|overline|underline)(?![a-z])"),
)


_VECTOR = re.compile(r"\\(?:vec|hat|text|overrightarrow)(?![a-z])")
_OPERAND = r"(?:\\(?:vec|hat|text|overrightarrow)\{[A-Za-z]\}|(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]))"
_CROSS = re.compile(rf"{_OPERAND}\\times ?{_OPERAND}")
_DOT = re.compile(rf"{_OPERAND}\\cdot ?{_OPERAND}")
_FIGURE = re.compile(r"\\(?:(?:measured)?angle|triangle|widehat|overline|overrightarrow) ?\{?[A-Z]{2,4}")
_CAPITAL = re.compile(r"[A-Z](?:_(?:\w|\{\w*\}))?(?:\^(?:\{[^{}]*\}|\w))?[0-9]*")
_CAPITALS = re.compile(rf"(?:{_CAPITAL.pattern}){{2,8}}")


def marks_differ(gold: str, prediction: str) -> bool:
    """One of two normalised answers carries a mark that the other lacks."""
    if gold.count("'") != prediction.count("'") or _differ_in_case_only(gold, prediction):
        return True
    if _multiplied_otherwise(gold, prediction) or _in_another_order(gold, prediction):
        return True
    if [sorted(mark.findall(gold)) for mark in _MARKS] != [sorted(mark.findall(prediction)) for mark in _MARKS]:
        return True
    angles, their_angles = _angles(gold), _angles(prediction)
    return bool(angles and their_angles and angles != their_angles)


def _differ_in_case_only(gold: str, prediction: str) -> bool:
    """The symbols are the same letters but for their case, which the LaTeX reader does not keep everywhere."""
    mine, yours = (set(_LETTER.findall(COMMAND.sub(" ", text))) for text in (gold, prediction))
    greek, their_greek = (set(_GREEK.findall(text)) for text in (gold, prediction))
    for ours, theirs in ((mine, yours), (greek, their_greek)):
        if ours != theirs and {symbol.lower() for symbol in ours} == {symbol.lower() for symbol in theirs}:
            return True
    return False


def _multiplied_otherwise(gold: str, prediction: str) -> bool:
    """A dot product against a cross product, or a cross product of vectors in another order."""
    if "\\times" not in gold and "\\times" not in prediction:
        return False
    if (_CROSS.search(gold) and _DOT.search(prediction)) or (_DOT.search(gold) and _CROSS.search(prediction)):
        return True
    if not (_VECTOR.search(gold) and _VECTOR.search(prediction)):
        return False
    signs = [[text.count(sign) for sign in ("\\times", "\\cdot")] for text in (gold, prediction)]
    return signs[0] != signs[1] or sorted(_CROSS.findall(gold)) != sorted(_CROSS.findall(prediction))


def _in_another_order(gold: str, prediction: str) -> bool:
    """The same capitals side by side in another order: a product of matrices, or the letters of a name."""
    runs = [
        [tuple(_CAPITAL.findall(run)) for run in _CAPITALS.findall(COMMAND.sub(" ", _FIGURE.sub(" ", text)))]
        for text in (gold, prediction)
    ]
    orders: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for run in runs[0] + runs[1]:
        orders.setdefault(tuple(sorted(run)), set()).add(run)
    return any(len(order) > 1 for order in orders.values())


def _angles(text: str) -> list[str]:
    """The names of its angles, each in the direction that the alphabet prefers: ∠ABC is ∠CBA, and not ∠ACB."""
    return sorted(min(name, name[::-1]) for name in _ANGLE.findall(text))
