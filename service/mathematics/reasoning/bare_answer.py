r"""Whether a candidate only announces its answer, in the problem's words: "The solution to the problem is 34 hours."

A rewriter that is rewarded for right answers learns to write this within a few steps, and a small judge lets it pass
(docs/experiments/stage-two.md): there is no step in it that could be wrong.

Promises: precision first. A calculation, a word of reasoning, a number that is in neither the problem nor the answer, a
third word that the problem does not have, a third sentence or many words are enough to be more than an answer. Pure.

Not covered: an answer with filler around it. That is the judge's question, or a guard's on the length ratio.
"""

import re

from rewright.service.mathematics.answers.extraction import find_answer
from rewright.service.mathematics.equations.words import SAYS_NOTHING, words

_MOST_CHARACTERS = 2_000
_MOST_WORDS = 60
_MOST_SENTENCES = 2
_NEW_WORDS = 2
"""Words beside the problem's that an answer is put in: "the school *paid* a *total* of 570"."""
_STEM = 4
"""Letters by which words are the same: divide, divided, divisible."""
_REASONING = words(
    """
    since because as due if then when by symmetry symmetric implies imply means gives must cannot only every all each no
    not none both same let suppose assume note notice recall consider add subtract multiply divide substitute plug
    simplify factor
    """
)
TOKEN = re.compile(r"[぀-ヿ一-鿿]|\\[A-Za-z]+|[^\W\d_]+|\d+(?:[.,]\d+)*|[-+*/^=<>×÷·−!]")
_SENTENCE_END = re.compile(r"[.!?。]\s+(?=\S)|\n\s*(?=\S)")
_OPERATORS = words(r"+ * / ^ × ÷ · - − ! \times \cdot \div \frac \dfrac \tfrac \sqrt \binom \dbinom \sum \int \log")
_RELATIONS = words(r"= < > \le \leq \ge \geq \approx \equiv \implies \Rightarrow \to")


def only_states_its_answer(*, problem: str, candidate: str) -> bool:
    if len(candidate) > _MOST_CHARACTERS:
        return False
    said = TOKEN.findall(candidate)
    sentences = 1 + len(_SENTENCE_END.findall(candidate.strip()))
    if len(said) > _MOST_WORDS or sentences > _MOST_SENTENCES or _calculates(said):
        return False
    known = {_stem(token) for token in TOKEN.findall(problem)}
    known |= {_stem(token) for token in _answer(candidate)}
    new = [token for token in said if _stem(token) not in known and token.lower().lstrip("\\") not in SAYS_NOTHING]
    if any(token[0].isdigit() or token.lower() in _REASONING for token in new):
        return False
    return len([token for token in new if token.isalpha()]) <= _NEW_WORDS


def _answer(candidate: str) -> list[str]:
    found = find_answer(candidate)
    tokens = TOKEN.findall(found.text) if found is not None else []
    if found is not None and not found.stated:
        # All of a short text counts as an answer to `find_answer`; here it would leave nothing to look at.
        return [token for token in tokens if token[0].isdigit()][-1:]
    return tokens


def _calculates(said: list[str]) -> bool:
    relations = sum(token in _RELATIONS for token in said)
    return relations > 1 or (relations == 1 and not _OPERATORS.isdisjoint(said))


def _stem(token: str) -> str:
    return token.lower()[:_STEM] if token.isalpha() else token
