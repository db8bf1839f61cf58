"""A judge calibrated on labelled rows: the file that `rewright judge-fit` writes, and what a score is with it.

    regression    P(valid) = σ(b + w·f) over the judge's log odds of both labels (in one order, in the other, and for an
                  empty candidate) and what a program reads of the final answers
    probe         P(valid) = σ(b + w·ℓ) over the natural log-probabilities ℓ of some tokens at the verdict's position: a
                  linear probe of the last hidden state, seen through these tokens' rows of the output matrix

Promises: a file belongs to one model, one prompt and (the probe) one rendering, and is refused with another; its hash
is in `served_by` and in the cache's keys; nothing here is fitted. Certain checks, readings and the label floor count as
without it. Subtracting an empty candidate is Zhao et al., "Calibrate Before Use", arXiv 2102.09690.

Not covered: fitting (`rewright.service.commands.judge_fitting`).
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from rewright.service.errors import SettingsError
from rewright.service.mathematics.answers.same_answer import same_final_answer
from rewright.service.schema import Failed
from rewright.service.scorers.judge.prompt import JudgePrompt, Question
from rewright.service.scorers.judge.verdicts import NO_VERDICT, JudgeItem, Reading, judged

SETTING = "scorers.judge.calibration"
ASKED = ("log_odds", "log_odds_turned", "log_odds_empty")
"""What a judge is asked for, in this order; the second where the prompt's labels can be turned."""
FACTS = ("answers_agree", "answers_differ")
"""1 where a program reads the same final answer in both, or another; both 0 where it cannot tell."""
_MOST = 12.0
"""Log odds beyond which nothing more is said: where one label is among the likeliest tokens and the other is not."""

Number = Annotated[float, Field(allow_inf_nan=False)]


class Model(BaseModel):
    """To whom a calibration belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    backend: Literal["transformers", "openai"]
    name: str
    revision: str | None
    """Of the weights; a server does not tell."""
    prompt: str
    prompt_revision: str
    template: dict[str, Any] = {}
    """How questions are rendered, in process."""

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        """Of what a judge says of itself (`describe`)."""
        return cls(
            backend=described["backend"],
            name=described["model"],
            revision=described.get("revision"),
            prompt=described["prompt"]["name"],
            prompt_revision=described["prompt"]["revision"],
            template=json.loads(json.dumps(described.get("template", {}))),
        )


class Figure(BaseModel):
    """AUROC on rows of problems that the fit had not seen, with a 95 % interval over problems."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    sound: int
    unsound: int
    auroc: Number
    low: Number
    high: Number


class Calibration(BaseModel):
    """weights: one a feature, on the features as they come; bias: added. Both natural log odds of "valid"."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Literal[1] = 1
    kind: Literal["regression", "probe"]
    belongs_to: Model
    features: tuple[str, ...] = ()
    """regression: names of `ASKED` and `FACTS`."""
    tokens: tuple[int, ...] = ()
    """probe: ids of the judge's vocabulary."""
    weights: tuple[Number, ...]
    bias: Number
    suggested_threshold: Number
    """From the rows' cross-validated scores."""
    labelled: str
    """Hash of the rows that it was fitted on."""
    cross_validated: dict[str, Figure | None]

    @model_validator(mode="after")
    def _fits_itself(self) -> Self:
        if self.kind == "regression" and (self.tokens or self.features not in (_names(True), _names(False))):
            raise ValueError(
                f"a regression has no tokens, and its features are {', '.join(_names(True))}, in this order"
            )
        if self.kind == "probe" and (self.features or not self.tokens):
            raise ValueError("a probe has tokens and no features")
        if len(self.weights) != len(self.features) + len(self.tokens):
            raise ValueError("there must be one weight for each feature")
        return self

    @classmethod
    def load(cls, file: str) -> Self:
        """Raises `SettingsError` naming the file and what is wrong with it."""
        try:
            return cls.model_validate_json(Path(file).read_bytes())
        except OSError as error:
            raise SettingsError(f"{SETTING}: cannot read {file!r} ({error.strerror})") from None
        except ValidationError as error:
            places = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:3])
            raise SettingsError(f"{SETTING}: {file!r} is none that `rewright judge-fit` writes: {places}") from None

    @property
    def revision(self) -> str:
        """Hash of all that it holds."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "revision": self.revision}

    def check(self, described: Mapping[str, Any]) -> None:
        """Raises `SettingsError` where a judge that says this of itself is not the one that was fitted."""
        judge, fitted = Model.of(described).model_dump(), self.belongs_to.model_dump()
        differing = [name for name in judge if judge[name] != fitted[name]]
        if differing:
            said = "; ".join(f"{name} is {judge[name]!r}, fitted with {fitted[name]!r}" for name in differing)
            raise SettingsError(f"{SETTING} belongs to another judge ({said}); run `rewright judge-fit` with this one")

    def p_valid(self, features: Sequence[float]) -> float:
        """features: one a weight, shape [F]."""
        return p_valid(self.weights, self.bias, features)


def p_valid(weights: Sequence[float] | np.ndarray, bias: float, features: Sequence[float]) -> float:
    """σ(bias + weights · features), both of shape [F]; what is fitted is what is served."""
    odds = bias + float(np.dot(np.asarray(weights), np.asarray(features, dtype=float)))
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, odds))))


@dataclass(frozen=True)
class RegressionAsking:
    """Asks for the features of a regression and weighs them."""

    calibration: Calibration
    threshold: float

    def read(self, prompt: JudgePrompt, *, problem: str, reference: str, candidate: str, gold: str) -> Reading:
        return feature_reading(prompt, problem=problem, reference=reference, candidate=candidate, gold=gold)

    def verdict(self, reading: Reading, answers: Sequence[JudgeItem]) -> JudgeItem:
        found = features(reading, answers)
        if not isinstance(found, tuple):
            return found
        return judged(self.calibration.p_valid(found), self.threshold)


def feature_names(prompt: JudgePrompt) -> tuple[str, ...]:
    """The features of a regression for this prompt, in their order."""
    return _names(prompt.can_turn)


def _names(turns: bool) -> tuple[str, ...]:
    return (*(name for name in ASKED if turns or name != "log_odds_turned"), *FACTS)


def feature_reading(prompt: JudgePrompt, *, problem: str, reference: str, candidate: str, gold: str) -> Reading:
    """The questions of `ASKED` and the values of `FACTS`."""

    def question(text: str, *, turned: bool = False) -> Question:
        return prompt.question(problem=problem, reference=reference, candidate=text, answer=gold, turned=turned)

    turned = (question(candidate, turned=True),) if prompt.can_turn else ()
    same = same_final_answer(gold, candidate)
    return Reading((question(candidate), *turned, question("")), (float(same is True), float(same is False)))


def features(reading: Reading, answers: Sequence[JudgeItem]) -> tuple[float, ...] | JudgeItem:
    """Of the answers to `feature_reading`'s questions; or why there are none: an answer that failed, or no verdict.

    An answer without a probability says nothing that a regression could weigh: it is no verdict.
    """
    odds: list[float] = []
    for answer in answers:
        if isinstance(answer, Failed):
            return answer
        if answer.score is None:
            return NO_VERDICT
        odds.append(_log_odds(answer.score))
    return (*odds, *reading.facts)


def _log_odds(p: float) -> float:
    if p <= 0 or p >= 1:
        return math.copysign(_MOST, p - 0.5)
    return max(-_MOST, min(_MOST, math.log(p) - math.log1p(-p)))
