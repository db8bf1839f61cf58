"""What is certain about a candidate before any model is asked: v_rea fails without one.

Promises: precision first. A candidate fails here where it states a false calculation
(`rewright.service.mathematics.equations`), where it says next to nothing beside its answer or only what the problem
says, or where it ends in a refusal that the reference does not share. The reason is a sentence that quotes the text.
Pure.

Not covered: whether the rest is sound; that is the model's question.
"""

import re

from rewright.service.mathematics.equations.statements import first_false
from rewright.service.mathematics.equations.words import SAYS_NOTHING
from rewright.service.mathematics.reasoning.bare_answer import only_states_its_answer

CHECKS = ("false_equation", "says_nothing", "bare_answer", "refusal")
"""What is checked, in this order; a new check is a new name."""
_FEWEST_WORDS = 3
_WORD = re.compile(r"[぀-ヿ一-鿿]|\\?[A-Za-z]+|\d+(?:[.,]\d+)*|[^\W\d_]+")
_EMPTY_STEP = re.compile(r"\bstep\s*\d+\s*[:.)]?", re.IGNORECASE)
_REFUSAL = re.compile(
    r"\b(?:(?:can|could)(?:\s?not|n[’']t)\s+(?:be\s+)?(?:determin|answer|solv|help|assist|provid|be\s+(?:determin|solv))\w*"
    r"|(?:unable|impossible)\s+to\s+(?:determine|answer|solve|say|help)|not\s+enough\s+information|insufficient\s+information"
    r"|as\s+an\s+ai\b|i\s+(?:must|have\s+to)\s+(?:decline|refuse))",
    re.IGNORECASE,
)
_TAIL = 240
_QUOTE = 160


def certain_fault(*, problem: str, reference: str, candidate: str) -> str | None:
    """Why the candidate's reasoning fails for certain, in one sentence; None where a model must be asked."""
    if (false := first_false(candidate, trusted=f"{problem}\n{reference}")) is not None:
        return f'false calculation: {false.left} is not {false.right} in "{_short(false.quote)}"'
    said = [w for w in _WORD.findall(_EMPTY_STEP.sub(" ", candidate)) if w.lower().lstrip("\\") not in SAYS_NOTHING]
    if len(said) < _FEWEST_WORDS or only_states_its_answer(problem=problem, candidate=candidate):
        return f'no reasoning: "{_short(candidate)}" is all it says'
    tail = candidate[-_TAIL:]
    if (refusal := _REFUSAL.search(tail)) is not None and not _REFUSAL.search(reference):
        return f'a refusal, no solution: "{_short(tail[refusal.start() :])}"'
    return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE else line[:_QUOTE].rstrip() + " …"
