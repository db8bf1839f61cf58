"""rewright judge-fit: what is fitted, that it is measured on unseen problems, and its complaints."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rewright.clients.cli.main import main
from rewright.service.commands.judge_evaluation import auroc
from rewright.service.commands.judge_figures import figures, rows_revision
from rewright.service.commands.judge_fitting import Seen, fitted
from rewright.service.commands.labelled_rows import LabelledRow
from rewright.service.errors import InvalidRequest
from rewright.service.scorers.judge.calibration import Calibration
from tests.fake_openai import FakeOpenAI, fake_openai


def labelled(problem: int | str, *, valid: bool, category: str = "slip") -> LabelledRow:
    return LabelledRow(str(problem), "reference", "candidate", valid, category)


def worth(rows: Sequence[Seen], scores: Sequence[float]) -> float:
    sound, unsound = (
        [score for row, score in zip(rows, scores, strict=True) if row.row.valid is valid] for valid in (True, False)
    )
    return auroc(sound, unsound)


# --- the fit ----------------------------------------------------------------------------------------------------------


def test_known_weights_are_found_again() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800, 3)) * (1.0, 5.0, 0.2)
    odds = (0.5 + features @ (1.0, -0.2, 4.0)).tolist()
    valid = rng.random(800) < 1 / (1 + np.exp(-np.array(odds)))
    rows = [Seen(labelled(n, valid=bool(valid[n])), (tuple(features[n].tolist()),), 0.5) for n in range(800)]
    fit = fitted(rows)
    directions = np.array(fit.weights) / fit.weights[0]
    assert directions == pytest.approx([1.0, -0.2, 4.0], rel=0.4)
    assert worth(rows, fit.scores) == pytest.approx(worth(rows, odds), abs=0.02)


def test_what_is_known_of_a_problem_alone_is_worth_nothing_on_others() -> None:
    """Every problem has its own direction and its own label: rows of it in two folds would give themselves away."""
    rng = np.random.default_rng(1)
    rows = []
    for problem in range(100):
        direction, valid = tuple(rng.normal(size=60).tolist()), bool(rng.random() < 0.5)
        rows += [Seen(labelled(problem, valid=valid), (direction,), 0.5) for _ in range(4)]
    fit = fitted(rows)
    assert 0.35 < worth(rows, fit.scores) < 0.65
    weights = np.array(fit.weights)
    assert worth(rows, [float(weights @ np.array(row.readings[0])) for row in rows]) > 0.8


def test_the_lowest_reading_counts_and_a_certain_fault_is_zero() -> None:
    random.seed(0)
    rows = [
        Seen(labelled(n, valid=n % 2 == 0), ((float(n % 2 == 0) + random.gauss(0, 0.3),),), 0.5) for n in range(100)
    ]
    twice = Seen(labelled("twice", valid=True), ((1.0,), (-9.0,)), 0.5)
    once = Seen(labelled("once", valid=True), ((1.0,),), 0.5)
    certain = Seen(labelled("certain", valid=False), (), 0.0)
    fit = fitted([*rows, twice, once, certain])
    assert fit.scores[-1] == 0.0
    assert fit.scores[-3] < 0.05 < fit.scores[-2]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([Seen(labelled(n, valid=True), ((0.1,),), 0.5) for n in range(40)], "0 unsound rows reach"),
        (
            [Seen(labelled(n, valid=True), ((0.1,),), 0.5) for n in range(40)]
            + [Seen(labelled("one", valid=False), ((0.9,),), 0.5) for _ in range(12)],
            "label rows of more problems",
        ),
        ([Seen(labelled(n % 9, valid=n % 2 == 0), ((0.1,),), 0.5) for n in range(40)], "of 9 problems"),
    ],
)
def test_too_few_rows_are_refused_with_what_is_needed(rows: list[Seen], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        fitted(rows)


# --- the figures ------------------------------------------------------------------------------------------------------


def test_natural_and_constructed_rows_stand_apart_with_intervals_over_problems() -> None:
    rows = [labelled(n, valid=True) for n in range(40)]
    scores = [0.9 - n / 200 for n in range(40)]
    for n in range(20):
        rows.append(labelled(100 + n, valid=False, category="right_answer_wrong_reasoning"))
        scores.append(0.8 - n / 50)
        rows.append(labelled(200 + n, valid=False, category="right_answer_wrong_reasoning (constructed)"))
        scores.append(0.1)
        rows.append(labelled(300 + n, valid=False, category="wrong_answer"))
        scores.append(0.2)
    found = figures(rows, scores)
    natural, made = found["natural, right answer"], found["constructed, right answer"]
    assert natural is not None and made is not None
    assert (natural.unsound, made.unsound, natural.sound) == (20, 20, 40)
    assert natural.low < natural.auroc < natural.high and made.low == made.auroc == made.high == 1.0
    assert found["all"] is not None and found["all"].unsound == 60
    assert found == figures(rows, scores)
    # Rows that stand there twice say nothing new: the interval must not shrink.
    again = figures([*rows, *rows], [*scores, *scores])["natural, right answer"]
    assert again is not None and (again.low, again.high) == (natural.low, natural.high)


# --- the command ------------------------------------------------------------------------------------------------------


def row(n: int, p: float, *, valid: bool, **more: object) -> str:
    text = f"Six sevens are forty-two, p={p:.2f}, as was to be shown."
    fields = {"problem": f"What is 6 times 7 ({n})?", "reference": "6 * 7 = 42.", "candidate": text, "valid": valid}
    return json.dumps(fields | more)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> FakeOpenAI:
    settings = {"BACKEND": "openai", "MODEL": "fake", "PROMPT": "label-v1"}
    with fake_openai() as fake:
        for name, value in {**settings, "BASE_URLS": fake.base_url}.items():
            monkeypatch.setenv(f"REWRIGHT_SCORERS__JUDGE__{name}", value)
        yield fake


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    rng = random.Random(3)
    lines = [row(n, rng.uniform(0.3, 0.9), valid=True) for n in range(30)]
    lines += [row(100 + n, rng.uniform(0.1, 0.6), valid=False, category="slip") for n in range(30)]
    lines += [row(200, 0.5, valid=False, id="derived-1", candidate="6 * 7 = 45, so it is 45.")]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "rows.jsonl"


def test_a_fit_is_written_and_judge_eval_shows_what_it_is_worth_on_unseen_problems(
    rows: Path, judge: FakeOpenAI, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = rows.with_name("fit.json")
    assert main(["judge-fit", str(rows), "--output", str(file)]) == 0
    shown = capsys.readouterr().out
    fit = Calibration.load(str(file))
    assert "61 of 61 rows scored, 1 of them by a check" in shown and f"({fit.revision})" in shown
    assert fit.kind == "regression" and fit.features[0] == "log_odds" and fit.weights[0] > 0
    # One question a row and one without a candidate; those are alike for rows of one problem only.
    assert len(judge.requests) == 120
    monkeypatch.setenv("REWRIGHT_SCORERS__JUDGE__CALIBRATION", str(file))
    assert main(["judge-eval", str(rows), "--plot", str(rows.with_name("c.png"))]) == 0
    shown = capsys.readouterr().out
    assert "cross-validated, as fitted" in shown and "fitted on these very rows" in shown
    everything = fit.cross_validated["all"]
    assert everything is not None and f"{everything.auroc:.3f} [{everything.low:.3f}" in shown


def test_rows_in_another_order_are_the_same_rows() -> None:
    rows = [labelled(n, valid=n % 2 == 0) for n in range(5)]
    assert rows_revision(rows) == rows_revision(rows[::-1]) != rows_revision(rows[1:])


@pytest.mark.parametrize(
    ("settings", "by", "said"),
    [
        ({"PROMPT": "rationale-v1"}, "regression", "asks for a rationale"),
        ({"CALIBRATION": "x.json"}, "regression", "leave it out to fit another"),
        ({"PROMPT": "label-v2", "BOTH_ORDERS": "true"}, "regression", "leave them out"),
        ({}, "probe", "use --by regression"),
        ({"WHERE": "off"}, "regression", "set it to 'local'"),
    ],
)
@pytest.mark.usefixtures("judge")
def test_a_judge_that_cannot_be_fitted_is_said_by_its_setting(
    *,
    rows: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    by: str,
    said: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"REWRIGHT_SCORERS__JUDGE__{name}", value)
    assert main(["judge-fit", str(rows), "--output", str(rows.with_name("fit.json")), "--by", by]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "scorers.judge" in shown and "Traceback" not in shown
    assert not rows.with_name("fit.json").exists()
