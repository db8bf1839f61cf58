"""`rewright judge-eval FILE`: measure the judge that the settings configure on a labelled file.

The rows are those of `rewright.service.commands.labelled_rows`: `category` names the kind of row, and rows whose `id`
begins with `derived-` are set apart as constructed. Errors name the line and the field.

Prints AUROC, accuracy and precision of "valid" at the threshold, the table by category and a suggested threshold, and
draws the curve; natural and constructed rows apart have intervals, and a calibration its cross-validated figures beside
these. Not covered: choosing the judge, which is the settings' business.
"""

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from rewright.service.commands.judge_evaluation import (
    AtThreshold,
    Curve,
    Judged,
    at_threshold,
    auroc,
    by_category,
    curve,
    scores,
    split,
)
from rewright.service.commands.judge_evaluation import suggested_threshold as suggested
from rewright.service.commands.judge_options import add_rows_and_settings
from rewright.service.commands.labelled_rows import LabelledRow, labelled_rows
from rewright.service.schema import Failed, Group, JudgeScored

_GROUPS_AT_ONCE = 8
_CERTAIN = ("false calculation", "no reasoning", "a refusal")


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command (the protocol of `rewright.clients.cli.main`)."""
    parser = commands.add_parser(
        "judge-eval", help="measure the configured judge on a labelled file: AUROC, precision, a threshold to set"
    )
    add_rows_and_settings(parser)
    parser.add_argument("--plot", type=Path, default=Path("judge-eval.png"), help="the curve, as PNG")
    parser.add_argument("--scores", type=Path, help="also write each row's verdict here, as JSON lines")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from rewright.service import settings

    rows = labelled_rows(options.file, split=options.split)
    configured = settings.load(options.config)
    judged, items = asyncio.run(_judge(configured, rows))
    if options.scores is not None:
        lines = (
            json.dumps({"category": r.category, "labelled_valid": r.valid} | i)
            for r, i in zip(rows, items, strict=True)
        )
        options.scores.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sound, unsound = split(judged)
    if not sound or not unsound:
        print("rewright judge-eval: both sound and unsound rows must be scored; nothing to measure", file=sys.stderr)
        return 1
    _report(judged, configured.scorers.judge.threshold)
    _report_apart(rows, judged, configured.scorers.judge.calibration)
    good, bad = scores(sound), scores(row for members in unsound.values() for row in members)
    if not _draw(curve(good, bad), at_threshold(good, bad, suggested(good, bad)), options.plot):
        return 1
    print(f"curve: {options.plot}")
    return 0


async def _judge(configured: Any, rows: list[LabelledRow]) -> tuple[list[Judged], list[dict[str, Any]]]:
    """Each row with the judge's score, in order; and the judge's item as it would go over the wire."""
    from rewright.service.wiring import opened_scorer

    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        places[row.problem, row.reference].append(n)
    groups = [
        (
            Group(id=str(k), problem=problem, reference=reference, candidates=[rows[n].candidate for n in members]),
            members,
        )
        for k, ((problem, reference), members) in enumerate(places.items())
    ]
    found: dict[int, JudgeScored | Failed] = {}
    async with opened_scorer(configured, "judge") as judge:
        for start in range(0, len(groups), _GROUPS_AT_ONCE):
            chunk = groups[start : start + _GROUPS_AT_ONCE]
            for (_, members), result in zip(chunk, await judge.score([group for group, _ in chunk]), strict=True):
                found.update(zip(members, result.candidates, strict=True))
            print(f"\r{len(found)} of {len(rows)} rows", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    items = [found[n] for n in range(len(rows))]
    return [_judged(row, item) for row, item in zip(rows, items, strict=True)], [i.model_dump() for i in items]


def _judged(row: LabelledRow, item: JudgeScored | Failed) -> Judged:
    """A candidate without a score of its own counts as what the gate makes of it: blank and no verdict are 0."""
    if isinstance(item, Failed):
        return Judged(row.valid, row.category, 0.0 if item.error.code == "blank" else None)
    certain = item.rationale is not None and item.rationale.startswith(_CERTAIN)
    return Judged(row.valid, row.category, item.score if item.score is not None else float(item.valid), certain)


def _report(judged: list[Judged], threshold: float) -> None:
    sound, unsound = split(judged)
    good, bad = scores(sound), scores(row for members in unsound.values() for row in members)
    failed = sum(row.score is None for row in judged)
    print(f"{len(good)} sound and {len(bad)} unsound rows scored, {failed} failed")
    print(f"AUROC {auroc(good, bad):.3f}; sound rows that fail without a model: {_percent(sound)}")
    for name, at in (("configured", threshold), ("suggested", suggested(good, bad))):
        print(f"{name} threshold {_said(at_threshold(good, bad, at))}")
    print(f"\n{'unsound rows':44s}{'rows':>6s}{'AUROC':>8s}{'TPR@10%FPR':>12s}{'no model':>10s}{'passed':>8s}")
    for line in by_category(judged, threshold=suggested(good, bad)):
        print(
            f"{line.category:44s}{line.rows:6d}{line.auroc:8.3f}{line.at_few_false_positives:12.2f}"
            f"{line.certain:10.2f}{line.passed:8.2f}"
        )
    print("no model: share that fails a check for certain; passed: share let through at the suggested threshold")


def _report_apart(rows: list[LabelledRow], judged: list[Judged], calibration: str | None) -> None:
    """Natural and constructed rows apart, beside what a calibration was worth when it was fitted."""
    from rewright.service.commands.judge_figures import figures, rows_revision, table
    from rewright.service.scorers.judge.calibration import Calibration

    columns = {"these rows": figures(rows, [row.score for row in judged])}
    fitted = Calibration.load(calibration) if calibration is not None else None
    if fitted is not None:
        columns["cross-validated, as fitted"] = dict(fitted.cross_validated)
    print(f"\n{table(columns)}")
    if fitted is not None and fitted.labelled == rows_revision(rows):
        print("the calibration was fitted on these very rows: only what is cross-validated says how good it is")


def _percent(rows: list[Judged]) -> str:
    return f"{sum(row.certain for row in rows)} of {len(rows)}"


def _said(at: AtThreshold) -> str:
    precision = "nothing is called valid" if at.precision is None else f'precision of "valid" {at.precision:.3f}'
    return (
        f"{at.threshold:.3f}: accuracy {at.accuracy:.3f}, {precision}, "
        f"{at.true_positives:.0%} of sound and {at.false_positives:.0%} of unsound rows pass"
    )


def _draw(c: Curve, suggestion: AtThreshold, file: Path) -> bool:
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("rewright judge-eval: no plot without matplotlib; run `pip install matplotlib`", file=sys.stderr)
        return False
    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 5), layout="constrained")
    axes.plot(c.false_positives, c.true_positives, drawstyle="steps-post")
    axes.plot(suggestion.false_positives, suggestion.true_positives, "o", label=f"threshold {suggestion.threshold:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.5)
    axes.set(xlabel="unsound rows let through", ylabel="sound rows let through", xlim=(0, 1), ylim=(0, 1.01))
    axes.legend(loc="lower right")
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return True
