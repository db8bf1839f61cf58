"""The verifier's spec: limits of method.md ("Time limits") as settings."""

import os
from typing import Any

from pydantic import Field

from rewright.service.schema import VerifyGroup, VerifyScored
from rewright.service.scorers.base import Scorer
from rewright.service.scorers.spec import Building, ScorerSettings, ScorerSpec


class VerifySettings(ScorerSettings):
    """Limits of method.md ("Time limits")."""

    workers: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1)
    cpu_s: float = Field(5.0, gt=0, description="CPU seconds a pair may use; the wall-clock backstop is 3 times this.")
    memory_mb: int = Field(1024, ge=256, description="Address space a worker may grow by, MiB.")
    queue: int = Field(20_000, ge=1, description="Pairs that may wait for a worker.")


def _build(building: Building) -> Scorer[Any]:
    from rewright.service.scorers.verify.scorer import AnswerVerifier

    s: VerifySettings = building.settings
    return AnswerVerifier(workers=s.workers, cpu_s=s.cpu_s, memory_mb=s.memory_mb, queue=s.queue)


SPEC = ScorerSpec(
    name="verify",
    summary="v_ans (eq. 4): is the final answer right?",
    build=_build,
    settings=VerifySettings,
    item=VerifyScored,
    group=VerifyGroup,
    needs=("answer|reference",),
)
