"""The log of a run as pictures: reward, yield, nll and diversity over the steps, a PNG each; and the watch's looks.

A step without a value (no feasible candidate, no answer of the service) is a gap, never a zero.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewright.trainer.grpo.looks import Look


class Picture(NamedTuple):
    name: str
    metric: str
    label: str


PICTURES = (
    Picture("reward", "reward", "total reward (eq. 3), mean"),
    Picture("yield", "rewright/yield", "yield: share with r_task = 1"),
    Picture("nll", "rewright/nll", "NLL under π0, nats per token"),
    Picture("diversity", "rewright/diversity", "diversity D of S_x⁺ (eq. 10)"),
)
LOOKS = (
    (("yield", "v_ans"), "share of the problems"),
    (("nll", "nll_head"), "nats per token under π0"),
    (("length_ratio",), "words, over the reference's"),
    (("bare", "wrongly_passed", "cut_off"), "share of the rewrites"),
    (("copied", "repeated"), "share of the 8-grams"),
    (("kl", "diversity"), "of the step's own rollouts"),
)
_WINDOW = 10


def write_plots(log_history: Sequence[Mapping[str, Any]], folder: Path, *, title: str) -> list[Path]:
    """One file a picture; a metric that was never there gives a picture that says so."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for picture in PICTURES:
        steps, values = points(log_history, picture.metric)
        figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
        axes.plot(steps, values, marker=".", linewidth=0.8, alpha=0.5, label="a step")
        if len(values) >= 2 * _WINDOW:
            axes.plot(steps, list(_running_mean(values)), linewidth=2, label=f"mean of {_WINDOW} steps")
            axes.legend()
        if not values:
            axes.text(0.5, 0.5, "never measured", ha="center", transform=axes.transAxes)
        axes.set(xlabel="step", ylabel=picture.label, title=title)
        axes.grid(alpha=0.3)
        file = folder / f"{picture.name}.png"
        figure.savefig(file, dpi=150)
        pyplot.close(figure)
        written.append(file)
    return written


def write_looks(looks: Sequence[Look], folder: Path, *, title: str, kept: Look | None = None) -> list[Path]:
    """watch.png, small pictures beside one another; nothing without looks. kept: the look whose adapter is `best/`."""
    if not looks:
        return []
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, all_axes = pyplot.subplots(2, 3, figsize=(11, 5.6), layout="constrained", sharex=True)
    for axes, (names, label) in zip(all_axes.flat, LOOKS, strict=True):
        for name in names:
            values = [look.values.get(name, math.nan) for look in looks]
            if any(map(math.isfinite, values)):
                axes.plot([look.step for look in looks], values, marker="o", markersize=3, label=name)
        axes.set(ylabel=label)
        axes.grid(alpha=0.3)
        if axes.get_lines():
            if kept is not None:
                axes.axvline(kept.step, color="0.4", linestyle=":", label="best/")
            axes.legend(fontsize=8)
        else:
            axes.text(0.5, 0.5, "never measured", ha="center", transform=axes.transAxes)
    for axes in all_axes[-1]:
        axes.set(xlabel="step")
    figure.suptitle(f"{title}: {looks[-1].problems} held-back problems, rewritten greedily")
    file = folder / "watch.png"
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return [file]


def points(log_history: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[int], list[float]]:
    """Steps and values of one metric, where it has a finite value."""
    found = {
        int(row["step"]): float(row[metric])
        for row in log_history
        if isinstance(row.get(metric), int | float) and row[metric] == row[metric]
    }
    return sorted(found), [found[step] for step in sorted(found)]


def _running_mean(values: Sequence[float]) -> Iterator[float]:
    for end in range(1, len(values) + 1):
        window = values[max(0, end - _WINDOW) : end]
        yield sum(window) / len(window)
