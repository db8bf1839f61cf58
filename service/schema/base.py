"""What every model of the wire language begins with: how strict it is, and the ranges of its numbers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LARGEST_SCORE = 1e12
"""No number of a further scorer is larger, whichever its sign,"""
LARGEST_TOTAL = 1e15
"""and no total: float32 holds its square, which deviations of a group are made of."""
NOT_FINITE = "not_finite"
"""Code of a candidate whose number is no number, or out of the range that such a number has."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Cosine = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
# In [0, 1] but for what embeddings of unit length are off by.
Diversity = Annotated[float, Field(ge=-1e-6, le=1 + 1e-6, allow_inf_nan=False)]
# A mean log-probability may be above 0 by what a forward pass rounds, and no model's is below by so much.
Nll = Annotated[float, Field(ge=-0.01, le=1e6, allow_inf_nan=False)]
# The same over a whole text, in nats: no text has more than a million tokens.
NllSum = Annotated[float, Field(ge=-1e4, le=1e12, allow_inf_nan=False)]
Score = Annotated[float, Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE, allow_inf_nan=False)]
Total = Annotated[float, Field(ge=-LARGEST_TOTAL, le=LARGEST_TOTAL, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]

WIRE = 3
"""Version of this language: raised when a field is added to it."""


class Asked(BaseModel):
    """What a caller sends: a field that is unknown is a mistake of theirs, and is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Told(BaseModel):
    """What a service answers: it may be newer than its reader."""

    model_config = ConfigDict(extra="ignore", frozen=True)
