r"""A second table of wrong answers, written without reading the verifier's rules.

Rows are (gold, candidate) or (gold, candidate, problem), by trick.

`wrong_answers` grew together with the guards, so passing it says little about tricks that nobody thought of. This
table was written first and run afterwards. None may be credited.

    saying            what is said about an answer, and where none is given
    meaning           values, symbols and formulas that are nearly the right ones
"""

from tests.service.scorers.verify.unseen_wrong_answers import meaning, saying

ATTACKS: dict[str, list[tuple[str, ...]]] = saying.ROWS | meaning.ROWS
