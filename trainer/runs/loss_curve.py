"""The loss of an SFT run over its steps: as CSV, as JSON, and as a picture of one or several runs.

A step without a loss is a gap, never a zero. Losses are nats per trained token, before the step's own update.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("step", "epoch", "loss", "learning_rate", "grad_norm", "mean_token_accuracy")
CSV, JSON, PNG = "loss.csv", "loss.json", "loss.png"
Curve = list[dict[str, float]]


def curve_of(log_history: Sequence[Mapping[str, Any]]) -> Curve:
    """A row a logged step, the last one where a resumed run logged a step twice."""
    rows = {int(row["step"]): row for row in log_history if isinstance(row.get("loss"), int | float)}
    return [{name: rows[step][name] for name in COLUMNS if name in rows[step]} for step in sorted(rows)]


def write_curve(curve: Curve, folder: Path, *, title: str) -> None:
    """loss.csv, loss.json and plots/loss.png in a run folder."""
    with (folder / CSV).open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, COLUMNS, restval="")
        table.writeheader()
        table.writerows(curve)
    (folder / JSON).write_text(json.dumps(curve, indent=1), encoding="utf-8")
    (folder / "plots").mkdir(exist_ok=True)
    draw_curves({"": curve}, folder / "plots" / PNG, title=title)


def draw_curves(curves: Mapping[str, Curve], file: Path, *, title: str) -> None:
    """One line a curve, named in a legend where there are several."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
    for name, curve in curves.items():
        points = [(row["step"], row["loss"]) for row in curve if row["loss"] == row["loss"]]
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", linewidth=1, label=name)
    axes.set(xlabel="step", ylabel="SFT loss, nats per trained token", title=title)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
