r"""Wrong answers written to be credited: (gold, prediction) by the trick they try. None may pass.

All rows are written for this project. What a row stands for is the trick, not the row: guards are written against the
trick, and a table of right answers (`right_answers`) holds what they must not cost.

    choosing          several answers, of which one is right
    saying            what is said about an answer, and where none is given
    numbers           values, scales and units that are nearly the right ones
    writing           letters, marks and typesetting
    structures        intervals, lists, matrices, equations
"""

from tests.service.scorers.verify.wrong_answers import choosing, numbers, saying, structures, writing

WRONG: dict[str, list[tuple[str, str]]] = choosing.ROWS | saying.ROWS | numbers.ROWS | writing.ROWS | structures.ROWS
