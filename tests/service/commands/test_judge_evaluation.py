"""rewright judge-eval: its figures, its table, its complaints."""

import json
from pathlib import Path

import pytest

from rewright.clients.cli.main import main
from rewright.service.commands.judge_evaluation import (
    Judged,
    at_threshold,
    auroc,
    by_category,
    curve,
    suggested_threshold,
)
from tests.fake_openai import FakeOpenAI, fake_openai

SOUND, UNSOUND = [0.9, 0.8, 0.8, 0.3], [0.8, 0.2, 0.1, 0.0, 0.0]


def test_auroc_counts_pairs_and_halves_ties() -> None:
    pairs = [1.0 if s > u else 0.5 if s == u else 0.0 for s in SOUND for u in UNSOUND]
    assert auroc(SOUND, UNSOUND) == pytest.approx(sum(pairs) / len(pairs))


def test_the_curve_rises_from_nothing_to_everything() -> None:
    c = curve(SOUND, UNSOUND)
    assert (c.false_positives[0], c.true_positives[0]) == (0, 0)
    assert (c.false_positives[-1], c.true_positives[-1]) == (1, 1)
    assert c.false_positives == sorted(c.false_positives) and c.true_positives == sorted(c.true_positives)


def test_the_suggested_threshold_lies_between_scores_and_splits_best() -> None:
    threshold = suggested_threshold(SOUND, UNSOUND)
    at = at_threshold(SOUND, UNSOUND, threshold)
    assert threshold == pytest.approx(0.25)
    assert (at.true_positives, at.false_positives, at.precision) == (1, 0.2, 0.8)
    assert at_threshold(SOUND, UNSOUND, 1.0).precision is None


def test_failed_rows_enter_no_figure() -> None:
    rows = [Judged(True, "v", s) for s in SOUND] + [Judged(False, "w", s, certain=s == 0) for s in UNSOUND]
    with_failures = [*rows, Judged(True, "v", None), Judged(False, "w", None)]
    assert by_category(rows, 0.5) == by_category(with_failures, 0.5)
    line, everything = by_category(rows, 0.5)
    assert (line.category, line.rows, line.certain, line.passed) == ("w", 5, 0.4, 0.2)
    assert everything.category == "all" and everything.auroc == line.auroc


# --- the command ------------------------------------------------------------------------------------------------------


def row(p: float, *, valid: bool, **more: object) -> str:
    text = f"Six sevens are forty-two, p={p:.2f}, as was to be shown."
    fields = {"problem": "What is 6 times 7?", "reference": "6 * 7 = 42.", "candidate": text, "valid": valid}
    return json.dumps(fields | more)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> FakeOpenAI:
    with fake_openai() as fake:
        for name, value in {
            "BACKEND": "openai",
            "MODEL": "fake",
            "BASE_URLS": fake.base_url,
            "PROMPT": "label-v1",
        }.items():
            monkeypatch.setenv(f"REWRIGHT_SCORERS__JUDGE__{name}", value)
        yield fake


def run(tmp_path: Path, *lines: str) -> int:
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return main(["judge-eval", str(file), "--plot", str(tmp_path / "c.png"), "--scores", str(tmp_path / "s.jsonl")])


def test_a_labelled_file_gives_a_table_a_threshold_and_a_curve(
    tmp_path: Path, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [row(p, valid=True) for p in (0.9, 0.8, 0.7)]
    lines += [row(p, valid=False, category="slip") for p in (0.75, 0.1)]
    lines += [row(0.6, valid=False, category="slip", id="derived-corrupt-1", candidate="6 * 7 = 45, so it is 45.")]
    assert run(tmp_path, *lines) == 0
    shown = capsys.readouterr().out
    assert "AUROC 0.889" in shown and "suggested threshold" in shown
    assert "slip (constructed)" in shown and (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    written = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [w["score"] for w in written] == pytest.approx([0.9, 0.8, 0.7, 0.75, 0.1, 0.0])
    assert len(judge.requests) == 5


def test_the_field_names_of_a_two_part_label_are_read(tmp_path: Path, judge: FakeOpenAI) -> None:
    old = {"problem": "x", "reference_solution": "y", "candidate": "p=0.9 by adding one", "answer_correct": True}
    lines = [json.dumps(old | {"reasoning_correct": right}) for right in (True, False)]
    assert run(tmp_path, *lines) == 0


def test_a_separator_inside_a_text_ends_no_line(tmp_path: Path, judge: FakeOpenAI) -> None:
    texts = {"problem": "6 times\u2028 7?", "reference": "6 * 7\x85 = 42", "candidate": "p=0.9 by\u2029 adding one"}
    lines = [json.dumps(texts | {"valid": valid}, ensure_ascii=False) for valid in (True, False)]
    assert run(tmp_path, *lines) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: no JSON"),
        ("[]", "line 2: no JSON object"),
        ('{"problem": "x", "reference": "y"}', "line 2: candidate must be a text"),
        ('{"problem": "x", "reference": "y", "candidate": "z"}', "line 2: valid must be true or false"),
    ],
)
def test_a_wrong_line_is_named_with_its_field(
    tmp_path: Path, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert run(tmp_path, row(0.5, valid=True), line) == 2
    assert said in capsys.readouterr().err


def test_rows_of_one_kind_alone_cannot_be_measured(
    tmp_path: Path, judge: FakeOpenAI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, row(0.5, valid=True)) == 1
    assert "both sound and unsound rows" in capsys.readouterr().err
