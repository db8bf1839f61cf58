r"""Right answers in unusual spellings: (gold, candidate) by what is unusual. All must pass.

The counterweight of `wrong_answers`: a guard that costs one of these costs honest candidates their reward. All rows
are written for this project.

    places            where the answer stands, options included
    values            numbers, roots, units, formulas
    structures        lists, intervals, matrices
"""

from tests.service.scorers.verify.right_answers import places, structures, values

RIGHT: dict[str, list[tuple[str, str]]] = places.ROWS | values.ROWS | structures.ROWS
