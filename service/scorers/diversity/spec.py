"""The spec of diversity. It remembers embeddings by itself: a result belongs to a group."""

from typing import Any

from pydantic import Field

from rewright.service.models.defaults import EMBEDDED
from rewright.service.schema import DiversityGroup, DiversityScored
from rewright.service.scorers.base import Scorer
from rewright.service.scorers.spec import Building, DeviceSettings, ScorerSpec

MOST_EMBEDDINGS = 10_000
"""A vector is some kilobytes where a score is some bytes."""


class DiversitySettings(DeviceSettings):
    model: str = Field(EMBEDDED, description="Embedder: a sentence-transformers hub name, folder or `embedded`.")


def _build(building: Building) -> Scorer[Any]:
    from rewright.service.scorers.diversity.scorer import EmbeddingDiversity

    s: DiversitySettings = building.settings
    return EmbeddingDiversity(
        model=s.model,
        precision=s.precision,
        device=s.device,
        remembered=min(building.remembered, MOST_EMBEDDINGS),
        **building.batching(),
    )


SPEC = ScorerSpec(
    name="diversity",
    summary="r_div and D (eq. 9 to 12)",
    build=_build,
    settings=DiversitySettings,
    item=DiversityScored,
    group=DiversityGroup,
    reads=(),
    options=("similarities",),
)
