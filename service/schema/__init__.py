"""The wire language: what goes in and comes out of every endpoint. pydantic only.

One body serves all scoring endpoints (`ScoreRequest`); each answers the same groups in the same order with one
result per candidate in the same order, never an echo of the texts. A candidate that could not be scored is `Failed`:
data, with a code, and never a number.

Every number of a result is finite and in its range, so that reading an answer refuses what no score can be. Whoever
writes is held to it by the same models: a scorer whose number is out of range answers `Failed`, code `not_finite`.

Readers ignore fields that they do not know, on every level of an answer, so that either side may be the newer one; a
request is held to the fields there are. What is added raises `WIRE`, which answers tell; what would change or take away
a field needs another path than `/v1`. An unknown status, verdict or gate is refused.

Not covered here: what a number means (`rewright.service.reward.rule`), how failures of whole requests read
(`rewright.service.errors`).
"""

from rewright.service.schema.answers import (
    Answer,
    AnyGroup,
    DiversityGroup,
    ErrorAnswer,
    ErrorBody,
    GroupScores,
    JudgeGroup,
    NllGroup,
    RewardAnswer,
    RewardGroup,
    ServedBy,
    VerifyGroup,
)
from rewright.service.schema.base import (
    LARGEST_SCORE,
    LARGEST_TOTAL,
    NOT_FINITE,
    WIRE,
    Count,
    Diversity,
    Nll,
    Score,
    Share,
    Total,
)
from rewright.service.schema.items import (
    AnswerVerdict,
    AnyScored,
    Components,
    DiversityScored,
    Failed,
    Gate,
    ItemError,
    JudgeScored,
    JudgeVerdict,
    NllScored,
    RewardFailed,
    RewardScored,
    ScalarScored,
    Signals,
    TokenLogprob,
    VerifyScored,
)
from rewright.service.schema.requests import Group, Guards, Rule, ScoreRequest, Variant

__all__ = [
    "LARGEST_SCORE",
    "LARGEST_TOTAL",
    "NOT_FINITE",
    "WIRE",
    "Answer",
    "AnswerVerdict",
    "AnyGroup",
    "AnyScored",
    "Components",
    "Count",
    "Diversity",
    "DiversityGroup",
    "DiversityScored",
    "ErrorAnswer",
    "ErrorBody",
    "Failed",
    "Gate",
    "Group",
    "GroupScores",
    "Guards",
    "ItemError",
    "JudgeGroup",
    "JudgeScored",
    "JudgeVerdict",
    "Nll",
    "NllGroup",
    "NllScored",
    "RewardAnswer",
    "RewardFailed",
    "RewardGroup",
    "RewardScored",
    "Rule",
    "ScalarScored",
    "Score",
    "ScoreRequest",
    "ServedBy",
    "Share",
    "Signals",
    "TokenLogprob",
    "Total",
    "Variant",
    "VerifyGroup",
    "VerifyScored",
]
