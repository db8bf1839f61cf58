"""Which stage a problem belongs to, and in which order it is drawn: by hashes of the problem alone.

Promises: a problem belongs to Stage I or Stage II whatever the seed, the draw, the filters, the order of sources and
the rest of the corpus, so that no two runs with the same share can ever train on what the other builds from. The draw
depends on the seed and nothing else.
"""

import hashlib
from typing import Literal

Stage = Literal["one", "two"]
_RANGE = float(2**64)


def stage_of(problem_hash: str, *, share: float) -> Stage:
    """`one` for about `share` of all problems."""
    return "one" if _point("stage", problem_hash) < share else "two"


def place_in_draw(problem_hash: str, *, seed: int) -> float:
    """In [0, 1): samples are drawn in this order."""
    return _point(f"draw {seed}", problem_hash)


def _point(purpose: str, problem_hash: str) -> float:
    digest = hashlib.sha256(f"rewright {purpose} {problem_hash}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _RANGE
