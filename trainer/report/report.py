"""The report of an experiment: the paper's tables 1 to 7 and figures 2 to 4 from run folders, as Markdown and HTML.

Promises: what has no runs says so; numbers of the paper name their table; runs are named by their folders, and those
that are not finished are listed.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from rewright.trainer.errors import RunFolderError
from rewright.trainer.report import paper_numbers as paper
from rewright.trainer.report.page import html_of
from rewright.trainer.report.runs import Run, Runs, find_runs
from rewright.trainer.report.tables import TABLES
from rewright.trainer.report.words import METHOD_ORDER, NAMES
from rewright.trainer.runs.loss_curve import draw_curves

FILE = "report.md"
PAGE = "report.html"


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """OUT/report.md, its figures, and both as one page, OUT/report.html.

    Raises `RunFolderError` where no run is found or OUT cannot be written.
    """
    runs = find_runs(folders)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lines = ["# Report", "", _found(runs), ""]
        for title, table in TABLES:
            lines += [f"## {title}", "", table(runs), ""]
        for title, figure in FIGURES:
            lines += [f"## {title}", "", figure(runs, out), ""]
        lines += ["## Where the paper's tables disagree", "", *(f"- {line}" for line in paper.DISAGREEMENTS)]
        text = "\n".join(lines) + "\n"
        (out / FILE).write_text(text, encoding="utf-8")
        (out / PAGE).write_text(html_of(text, out), encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write the report to {out}: {error}") from None
    return out / FILE


def figure_2(runs: Runs, out: Path) -> str:
    """SFT loss by method."""
    return _losses(runs, out, "figure-2", lambda run: run.is_main)


def figure_3(runs: Runs, out: Path) -> str:
    """SFT loss on the success-only subset."""
    return _losses(runs, out, "figure-3", lambda run: run.success_only)


def figure_4(runs: Runs, out: Path) -> str:
    """What K does: the agent's yield and averages by group size."""
    agents = [run for run in runs.evaluations if run.method == "agent" and run.is_main and run.group_size is not None]
    if len({run.group_size for run in agents}) < 2:
        return "No runs for this figure: it needs agents of several K."
    agents.sort(key=lambda run: run.group_size or 0)
    _draw_sweep(agents, out / "figure-4.png")
    return "![by K](figure-4.png)\n\nThe paper sweeps K ∈ {5, 10, 15, 20} and prints no numbers with its Figure 4."


FIGURES: tuple[tuple[str, Callable[[Runs, Path], str]], ...] = (
    ("Figure 2: SFT loss by method", figure_2),
    ("Figure 3: SFT loss on the success-only subset", figure_3),
    ("Figure 4: candidates per group", figure_4),
)


def _losses(runs: Runs, out: Path, name: str, wanted: Callable[[Run], bool]) -> str:
    shown = []
    for place, backbone in enumerate(runs.backbones()):
        mine = [run for run in runs.trainings if run.backbone == backbone and run.curve and wanted(run)]
        if not mine:
            continue
        mine.sort(key=lambda run: METHOD_ORDER.index(run.method))
        curves = {_label(run, mine): run.curve for run in mine}
        file = f"{name}-{place}.png"
        draw_curves(curves, out / file, title=backbone)
        rows = [f"| {label} | {len(c)} | {_first(c):.4f} | {_last(c):.4f} |" for label, c in curves.items()]
        table = ["| run | steps | mean loss of the first fifth | of the last fifth |", "|---|---:|---:|---:|", *rows]
        shown.append(f"![{backbone}]({file})\n\n" + "\n".join(table))
    return "\n\n".join(shown) or "No runs for this figure."


def _label(run: Run, among: Sequence[Run]) -> str:
    several = sum(other.method == run.method for other in among) > 1
    return f"{NAMES[run.method]} ({run.folder.name})" if several else NAMES[run.method]


def _first(curve: Sequence[dict[str, float]]) -> float:
    some = max(1, len(curve) // 5)
    return sum(row["loss"] for row in curve[:some]) / some


def _last(curve: Sequence[dict[str, float]]) -> float:
    return _first(curve[::-1])


def _draw_sweep(agents: Sequence[Run], file: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    sizes = [run.group_size for run in agents]
    for axes, name in zip(panels, ("MathAvg", "GeneralAvg", "yield"), strict=True):
        values = [
            run.origin.get("yield") if name == "yield" else run.content["averages"][name]["value"] for run in agents
        ]
        axes.plot(sizes, [None if value is None else 100 * value for value in values], marker="o")
        axes.set(xlabel="K", ylabel=f"{name}, %")
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def _found(runs: Runs) -> str:
    counts = f"{len(runs.builds)} builds, {len(runs.trainings)} SFT runs, {len(runs.evaluations)} evaluations."
    unfinished = ", ".join(folder.name for folder in runs.unfinished)
    return counts + (f" Not finished, and left out: {unfinished}." if unfinished else "")
