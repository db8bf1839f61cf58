"""How well scores tell sound rows from unsound ones, natural and constructed rows apart, with intervals; as a table.

Promises: intervals are percentile bootstraps over problems (Efron 1979), since rows of one problem are not independent;
the same scores give the same interval. Pure. Not covered: thresholds (`rewright.service.commands.judge_evaluation`).
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from rewright.service.commands.labelled_rows import LabelledRow
from rewright.service.scorers.judge.calibration import Figure

RESAMPLES = 1_000
_KINDS = ("all", "natural", "constructed")

Figures = dict[str, Figure | None]


def figures(rows: Sequence[LabelledRow], scores: Sequence[float | None]) -> Figures:
    """All rows, and all sound rows with the natural or the constructed unsound ones; the same for unsound rows with a
    right answer alone, where their category says so. None where rows of one kind are missing.

    scores: a row without one enters no figure.
    """
    return {
        f"{kind}{', right answer' if right else ''}": _figure(
            [
                (row, score)
                for row, score in zip(rows, scores, strict=True)
                if score is not None and (row.valid or _belongs(row.category, kind, right=right))
            ]
        )
        for right in (False, True)
        for kind in _KINDS
    }


def table(columns: Mapping[str, Figures]) -> str:
    """columns: figures by their headings."""
    first = next(iter(columns.values()))
    lines = [f"{'AUROC [95 % over problems]':28s}{'sound':>7s}{'unsound':>9s}" + "".join(f"{c:>28s}" for c in columns)]
    for kind, figure in first.items():
        if figure is not None:
            counts = f"{kind:28s}{figure.sound:7d}{figure.unsound:9d}"
            lines.append(counts + "".join(f"{_said(each.get(kind)):>28s}" for each in columns.values()))
    return "\n".join(lines)


def rows_revision(rows: Sequence[LabelledRow]) -> str:
    """Hash of what was labelled, whatever the order."""
    lines = sorted(repr(tuple(row)) for row in rows)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _belongs(category: str, kind: str, *, right: bool) -> bool:
    constructed = category.endswith("(constructed)")
    if right and "right answer" not in category.replace("_", " "):
        return False
    return kind == "all" or constructed == (kind == "constructed")


def _figure(scored: Sequence[tuple[LabelledRow, float]]) -> Figure | None:
    places = {problem: n for n, problem in enumerate(dict.fromkeys(row.problem for row, _ in scored))}
    sound, unsound = (
        [(places[r.problem], score) for r, score in scored if r.valid is valid] for valid in (True, False)
    )
    if not sound or not unsound:
        return None
    (of_sound_S, scores_S), (of_unsound_U, scores_U) = (
        map(np.array, zip(*each, strict=True)) for each in (sound, unsound)
    )
    above_SU = (scores_S[:, None] > scores_U) + (scores_S[:, None] == scores_U) / 2
    # How often each problem is drawn.
    drawn_RP = np.random.default_rng(0).multinomial(len(places), [1 / len(places)] * len(places), size=RESAMPLES)
    times_RS, times_RU = drawn_RP[:, of_sound_S], drawn_RP[:, of_unsound_U]
    pairs_R = times_RS.sum(axis=1) * times_RU.sum(axis=1)
    found_R = ((times_RS @ above_SU) * times_RU).sum(axis=1)[pairs_R > 0] / pairs_R[pairs_R > 0]
    low, high = np.quantile(found_R, (0.025, 0.975)) if len(found_R) else (0.0, 1.0)
    return Figure(
        sound=len(sound), unsound=len(unsound), auroc=float(above_SU.mean()), low=float(low), high=float(high)
    )


def _said(figure: Figure | None) -> str:
    return "" if figure is None else f"{figure.auroc:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
