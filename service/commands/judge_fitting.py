"""Fits a judge to labelled rows by logistic regression, and scores each row by a fit that has not seen its problem.

Promises: folds are cut by problem; the strength of the penalty is chosen inside each fold's own training rows; a
candidate's score is the lowest of its readings, as the service has it; rows that fail a check for certain score 0 and
enter no fit; the same rows give the same fit. Fitted by scikit-learn: L2 on standardised features, both labels of equal
weight.

Not covered: asking the judge (`judge_fit`); what the scores are worth (`judge_figures`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from rewright.service.commands.labelled_rows import LabelledRow
from rewright.service.errors import InvalidRequest
from rewright.service.scorers.judge.calibration import p_valid

FOLDS = 5
_STRENGTHS = tuple(10.0**k for k in range(-4, 2))
"""Inverse penalties that are tried: a probe of hundreds of features needs a strong one."""
_FEWEST = 10
"""Sound and unsound rows each, below which nothing is fitted."""


class Seen(NamedTuple):
    """A labelled row as the judge saw it.

    readings: features of each reading of the candidate, the whole first; none where it failed a check for certain.
    plain: the judge's own score, P(valid).
    """

    row: LabelledRow
    readings: tuple[tuple[float, ...], ...]
    plain: float


class Fit(NamedTuple):
    """weights, bias: on features as they come. scores: each row's cross-validated P(valid), in order."""

    weights: tuple[float, ...]
    bias: float
    scores: list[float]


def fitted(rows: Sequence[Seen]) -> Fit:
    """Raises `InvalidRequest` where there are too few rows or problems to fit."""
    asked = [n for n, row in enumerate(rows) if row.readings]
    for valid in (True, False):
        if (count := sum(rows[n].row.valid is valid for n in asked)) < _FEWEST:
            raise InvalidRequest(
                f"{count} {'sound' if valid else 'unsound'} rows reach the judge's model; at least {_FEWEST} are needed"
            )
    if (problems := len({rows[n].row.problem for n in asked})) < FOLDS * FOLDS:
        raise InvalidRequest(f"the rows are of {problems} problems; at least {FOLDS * FOLDS} are needed")
    scores = [0.0] * len(rows)
    folds = _folds([rows[n] for n in asked])
    if len(folds) < FOLDS:
        raise InvalidRequest("all sound or all unsound rows are of too few problems; label rows of more problems")
    for train, test in folds:
        weights_F, bias = _chosen([rows[asked[n]] for n in train])
        for n in test:
            scores[asked[n]] = _lowest(rows[asked[n]], weights_F, bias)
    weights_F, bias = _chosen([rows[n] for n in asked])
    return Fit(tuple(weights_F.tolist()), bias, scores)


def _chosen(rows: Sequence[Seen]) -> tuple[np.ndarray, float]:
    """The fit of the penalty that predicts rows of other problems best.

    By log loss and not by order: scores of several folds, each with its own penalty, must mean the same.
    """
    labels = np.array([row.row.valid for row in rows])
    equal_N = compute_sample_weight("balanced", labels)
    lost: dict[float, float] = {}
    for strength in _STRENGTHS:
        scores_N = np.full(len(rows), 0.5)
        for train, test in _folds(rows):
            weights_F, bias = _regression([rows[n] for n in train], strength)
            for n in test:
                scores_N[n] = _lowest(rows[n], weights_F, bias)
        lost[strength] = float(log_loss(labels, scores_N, sample_weight=equal_N))
    return _regression(rows, min(_STRENGTHS, key=lost.__getitem__))


def _folds(rows: Sequence[Seen]) -> list[tuple[list[int], list[int]]]:
    """(train, test), by problem; without those whose training rows have one label alone, on which nothing is fitted."""
    problems = [row.row.problem for row in rows]
    cut = GroupKFold(FOLDS).split(problems, groups=problems)
    return [(train.tolist(), test.tolist()) for train, test in cut if len({rows[n].row.valid for n in train}) > 1]


def _regression(rows: Sequence[Seen], strength: float) -> tuple[np.ndarray, float]:
    """Weights, shape [F], and bias, of the whole readings."""
    scaler = StandardScaler()
    regression: Any = LogisticRegression(C=strength, class_weight="balanced", max_iter=5_000)
    regression.fit(scaler.fit_transform([row.readings[0] for row in rows]), [row.row.valid for row in rows])
    weights_F = regression.coef_[0] / scaler.scale_
    return weights_F, float(regression.intercept_[0] - weights_F @ scaler.mean_)


def _lowest(row: Seen, weights_F: np.ndarray, bias: float) -> float:
    return min(p_valid(weights_F, bias, reading) for reading in row.readings)
