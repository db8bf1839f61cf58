r"""Does an answer only repeat what the question asks to have worked out?

"Compute $3 \cdot 4 \cdot 5$" answered by `\boxed{3 \cdot 4 \cdot 5}` equals the gold answer 60 by value, and says
nothing. Such an answer is wrong unless it is the gold answer letter for letter.

And which unit does it ask for? A gold answer without one is in that ("How many dollars …?": 50 cents are no 50).

Promises: only expressions that the question asks for count ("Compute", "Find", "What is" … right before them), and only
those that leave something to do: a plain number, a name or a word is never a quotation.
Not covered: paraphrases of the question, the same expression in another order.
"""

import re
from functools import lru_cache

from rewright.service.mathematics.answers.normalisation import normalise
from rewright.service.mathematics.answers.numbers import read_number
from rewright.service.mathematics.answers.quantities import FORMULA
from rewright.service.mathematics.answers.structure import split
from rewright.service.mathematics.answers.units import are_of_one_measure, split_unit

_WINDOW = 8_000
_MAX_CHARACTERS = 300
_TO_DO = re.compile(r"(?<=.)[-+*/^!]|\\[a-z]{2,}")
_ASKING = (
    r"\b(?:comput(?:e|ing)|calculate|evaluate|simplify|expand|factor(?:i[sz]e)?|find|determine|reduce|rationali[sz]e"
    r"|work\s+out|what(?:'s|\s+is|\s+are)|how\s+much\s+is|(?:value|sum|product|result|remainder|derivative)\s+of"
    r"|(?:write|express|convert))\b"
)
_ASKED = re.compile(
    _ASKING
    + r"(?:[\s:]+(?:the|exact|numerical|following|expression|value|values|sum|product|difference|quotient|result"
    r"|of|for|fully|completely|complex|number|fraction|integral|limit|polynomial|quantity))*[\s:]*$",
    re.IGNORECASE,
)
_ASKED_IN_WORDS = re.compile(_ASKING, re.IGNORECASE)
_HOW_MANY = re.compile(
    r"\bhow\s+(?:many|much)\s+(?:more\s+|total\s+|whole\s+)?(?:in\s+)?([a-z]{4,12})\b", re.IGNORECASE
)
_BRACED_ONE = re.compile(r"\{(\w)\}")
_TRAILING = re.compile(r"(?<![=?.,;:\s])[=?.,;:\s]+$")


def in_asked_unit(problem: str | None, wanted: str, answer: str) -> str:
    """`wanted` (normalised), with the unit that the question asks for ("How many dollars …?") where it has none and
    `answer` has another one of the same measure; else as it is."""
    unit = split_unit(answer)[1] if problem is not None else None
    if problem is None or unit is None or read_number(wanted) is None or split_unit(wanted)[1] is not None:
        return wanted
    asked = _asked_unit(problem[-_WINDOW:])
    alike = asked is not None and asked != unit and are_of_one_measure(asked, unit)
    return normalise(f"{wanted} \\text{{{asked}}}") if alike else wanted


@lru_cache(maxsize=1_024)
def _asked_unit(problem: str) -> str | None:
    """The one unit that the question asks how many of."""
    asked = {split_unit(f"1 \\text{{{match[1]}}}")[1] for match in _HOW_MANY.finditer(problem)}
    return asked.pop() if len(asked) == 1 else None


def only_quotes(problem: str | None, wanted: str, answer: str) -> bool:
    """`answer` (normalised) is an expression that `problem` asks for, and not the gold answer `wanted` itself."""
    if problem is None or answer == wanted or len(answer) > _MAX_CHARACTERS:
        return False
    if not _TO_DO.search(answer) or read_number(answer) is not None:
        return False
    formulas, prose = _asked_for(problem[-_WINDOW:])
    squeezed = _squeezed(answer)
    return squeezed in formulas or _stands_in(prose, squeezed)


@lru_cache(maxsize=1_024)
def _asked_for(problem: str) -> tuple[frozenset[str], str]:
    """The formulas that are asked for, and the prose from the first asking word on."""
    asked: set[str] = set()
    for match in FORMULA.finditer(problem):
        if _ASKED.search(problem[max(0, match.start() - 120) : match.start()]):
            formula = _TRAILING.sub("", next(group for group in match.groups() if group is not None))
            normal = normalise(formula)
            asked.update(_squeezed(part) for part in (normal, *split(normal, "=")))
    prose = FORMULA.sub(" $ ", problem)
    first = _ASKED_IN_WORDS.search(prose)
    return frozenset(asked - {""}), prose[first.end() :] if first else ""


def _stands_in(prose: str, squeezed: str) -> bool:
    """The answer as an operand of nothing, white space aside, in text without formulas."""
    if squeezed[0] not in prose:
        return False
    spaced = r"\s*".join(re.escape(character) for character in squeezed)
    return re.search(rf"(?<![\w^*/+-])(?<![\d)]\s){spaced}(?!\s*[-+*/^]|\w)", prose) is not None


def _squeezed(text: str) -> str:
    return _BRACED_ONE.sub(r"\1", re.sub(r"\s", "", text))
