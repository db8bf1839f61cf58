r"""What the text of an answer means, kind by kind: right pairs, and near misses of each.

Pairs are (gold, what stands in the candidate's box). `EITHER_WAY` is asked with the two exchanged as well, which must
change nothing; `ONE_WAY` holds kinds where the gold answer and the candidate are read differently. All rows are written
for this project: what a row stands for is its kind.

    one_way           approximations, labels, sentences
    quantities        numbers and what they count
    expressions       functions, vectors, equations, sets
    writing           alternatives, lists, other signs for the same
"""

from tests.service.scorers.verify.value_families import expressions, quantities, writing
from tests.service.scorers.verify.value_families.kind import Kind
from tests.service.scorers.verify.value_families.one_way import ONE_WAY

__all__ = ["EITHER_WAY", "ONE_WAY", "Kind"]

EITHER_WAY: dict[str, Kind] = quantities.KINDS | expressions.KINDS | writing.KINDS
