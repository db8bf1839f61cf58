"""A group that shows whether a scorer still does real work."""

import itertools
import uuid

from rewright.service.schema import Group

_numbers = itertools.count(2)


def probe() -> Group:
    """A tiny group that every scorer can score, with all that one may need.

    Each call gives another one whose answer takes algebra, so that neither a cache nor a comparison of texts can answer
    for a worker that is dead.
    """
    n = next(_numbers)
    mark = uuid.uuid4().hex[:8]
    return Group(
        id="probe",
        problem=f"Simplify sin({n}x)cos({n}x). ({mark})",
        reference=f"By the double angle formula it is \\boxed{{\\frac{{1}}{{2}}\\sin({2 * n}x)}}.",
        answer=f"\\frac{{1}}{{2}}\\sin({2 * n}x)",
        feasible=[True],
        candidates=[f"({mark}) It is already simple, so the answer is \\boxed{{\\sin({n}x)\\cos({n}x)}}."],
    )
