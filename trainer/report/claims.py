"""The paper's claims from our runs, with intervals: what each method gained and lost, and by how much methods differ.

Runs of one backbone, method, variant and K are seeds of one method. Every difference is paired
(`rewright.trainer.report.paired`): over the questions that all runs of the table have a verdict for.

    headline   mean over backbones of Gen↓ of SFT minus Gen↓ of the agent, in points of percent

Not covered: ablations and success-only runs, which Tables 3 to 5 have.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rewright.trainer.errors import RunFolderError
from rewright.trainer.report import paper_numbers as paper
from rewright.trainer.report.paired import Aligned, Averages, Interval, Quantity, Shares, Verdicts, aligned, intervals
from rewright.trainer.report.runs import Run, Runs
from rewright.trainer.report.words import METHOD_ORDER, NAMES, markdown_table

MATH, GENERAL = paper.BENCHMARKS[:5], paper.BENCHMARKS[5:]
AGAINST = ("sft", "sdft")
_MISSING = "No runs for this table: it needs evaluations of a base model and of a method on the same questions."


class Key(NamedTuple):
    """What runs that are seeds of one another share."""

    backbone: str
    method: str
    group_size: int | None = None

    @property
    def name(self) -> str:
        return NAMES[self.method] + (f" (K = {self.group_size})" if self.group_size is not None else "")


def claims(runs: Runs) -> str:
    """One table a backbone, and the headline over all of them."""
    asked, measured = _on_the_same_questions(runs.evaluations)
    by_key, likely = _by_key(measured, verdicts_of), _by_key(measured, likelihoods_of)
    backbones = [name for name in runs.backbones() if Key(name, "base") in by_key]
    parts = [part for name in backbones if (part := _of_backbone(name, by_key, likely))]
    if not parts:
        return _MISSING
    other = [run.folder.name for run in asked if run not in measured]
    note = [f"Asked or graded in another way, and left out: {', '.join(other)}."] if other else []
    return "\n\n".join([*parts, *_headline(backbones, by_key), *note])


def _on_the_same_questions(evaluations: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The main runs of methods that are known, and those of them that most of them share their questions with."""
    main = [run for run in evaluations if run.is_main and run.method != "other"]
    alike = Counter(_asked(run) for run in main).most_common(1)
    return main, [run for run in main if alike and _asked(run) == alike[0][0]]


def _asked(run: Run) -> tuple[str, str]:
    return str(run.content["questions"]["sha256"]), str(run.content.get("grading"))


def _by_key(runs: Sequence[Run], read: Callable[[Run], Verdicts | None]) -> dict[Key, list[Verdicts]]:
    by_key: dict[Key, list[Verdicts]] = defaultdict(list)
    for run in runs:
        if (verdicts := read(run)) is not None:
            by_key[Key(run.backbone, run.method, run.group_size)].append(verdicts)
    return by_key


def likelihoods_of(run: Run) -> Verdicts | None:
    """Of an evaluation's folder, which option's letter was likeliest; None where that was not measured."""
    file = run.folder / "likelihoods.jsonl"
    rows = _rows(file) if file.is_file() else {}
    right = {name: (str(row["benchmark"]), row["right"]) for name, row in rows.items()}
    known = {name: (benchmark, of["letters"]) for name, (benchmark, of) in right.items() if isinstance(of, dict)}
    return {name: (benchmark, bool(is_)) for name, (benchmark, is_) in known.items() if is_ is not None} or None


def verdicts_of(run: Run) -> Verdicts | None:
    """Of an evaluation's folder; None where its verdicts are not there any more."""
    files = run.folder / "verdicts.jsonl", run.folder / "generations.jsonl"
    if not all(file.is_file() for file in files):
        return None
    verdicts, generations = (_rows(file) for file in files)
    return {
        name: (str(generations[name]["benchmark"]), bool(row["correct"]))
        for name, row in verdicts.items()
        if row["status"] == "scored" and name in generations
    }


def _rows(file: Path) -> dict[str, dict[str, object]]:
    try:
        with file.open(encoding="utf-8") as lines:
            return {row["id"]: row for row in map(json.loads, lines)}
    except (OSError, ValueError, KeyError) as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None


def _of_backbone(
    backbone: str, by_key: Mapping[Key, list[Verdicts]], likely: Mapping[Key, list[Verdicts]]
) -> str | None:
    base = Key(backbone, "base")
    mine = sorted((key for key in by_key if key.backbone == backbone and key != base), key=_order)
    if not mine:
        return None
    measured = aligned({key: by_key[key] for key in (base, *mine)})
    others = [Key(backbone, method) for method in AGAINST if Key(backbone, method) in by_key]
    quantities: dict[str, Quantity] = {}
    for key in mine:
        quantities |= {f"{key} up": _up(key, base), f"{key} down": _down(key, base)}
        for other in (other for other in others if other != key):
            quantities[f"{key} up, {other}"] = _difference(_up(key, base), _up(other, base))
            quantities[f"{key} down, {other}"] = _difference(_down(key, base), _down(other, base))
    found = intervals(measured.right, quantities, math=MATH, general=GENERAL)
    by_likelihood = _by_likelihood([base, *mine], likely)
    head = ["method", "seeds", "Math↑ %", "Gen↓ %", "Gen↓ % by likelihood"]
    head += [f"{quantity} − {NAMES[other.method]}" for other in others for quantity in ("Math↑", "Gen↓")]
    rows = []
    for key in mine:
        cells = [found[f"{key} up"], found[f"{key} down"], by_likelihood.get(f"{key} down", _NONE)]
        cells += [found.get(f"{key} {which}, {o}", _NONE) for o in others for which in ("up", "down")]
        rows.append([key.name, str(len(by_key[key])), *map(written, cells)])
    return f"Backbone {backbone}\n\n{markdown_table(head, rows)}\n\n{_over(measured)}"


def _by_likelihood(keys: Sequence[Key], likely: Mapping[Key, list[Verdicts]]) -> dict[str, Interval]:
    """Gen↓ where the likeliest letter is the answer: no format to keep, and nothing to cut off."""
    base, *mine = (key for key in keys if key in likely) if keys[0] in likely else (keys[0],)
    if not mine:
        return {}
    measured = aligned({key: likely[key] for key in (base, *mine)})
    quantities = {f"{key} down": _down(key, base) for key in mine}
    return intervals(measured.right, quantities, math=MATH, general=GENERAL)


def _headline(backbones: list[str], by_key: Mapping[Key, list[Verdicts]]) -> list[str]:
    """Where a backbone has several K, the agent's largest group counts."""
    agents = {
        name: max((key for key in by_key if key[:2] == (name, "agent")), key=lambda key: key.group_size or 0)
        for name in backbones
        if any(key[:2] == (name, "agent") for key in by_key) and Key(name, "sft") in by_key
    }
    if not agents:
        return []
    keys = [key for name, agent in agents.items() for key in (Key(name, "base"), Key(name, "sft"), agent)]
    measured = aligned({key: by_key[key] for key in keys})

    def saved(averages: Averages) -> Shares:
        each = [
            averages.gen_down(Key(name, "sft"), Key(name, "base")) - averages.gen_down(agent, Key(name, "base"))
            for name, agent in agents.items()
        ]
        return sum(each[1:], each[0]) / len(each)

    found = intervals(measured.right, {"saved": saved}, math=MATH, general=GENERAL)["saved"]
    printed = [(rows["sft"].gen_down or 0) - (rows["agent"].gen_down or 0) for rows in paper.TABLE_1.values()]
    return [
        f"**Headline**: Gen↓ of SFT minus that of the agent is {written(found)} points of percent, on average over "
        f"{', '.join(agents)}. The paper's Table 1: {sum(printed) / len(printed):+.2f} over its three backbones."
    ]


def written(interval: Interval) -> str:
    if interval.value is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.1f}"
    return f"{interval.value:+.1f} ({interval.low:+.1f} to {interval.high:+.1f})"


_NONE = Interval(None, None, None)


def _up(key: Key, base: Key) -> Quantity:
    return lambda averages: averages.math_up(key, base)


def _down(key: Key, base: Key) -> Quantity:
    return lambda averages: averages.gen_down(key, base)


def _difference(one: Quantity, other: Quantity) -> Quantity:
    return lambda averages: one(averages) - other(averages)


def _order(key: Key) -> tuple[int, int]:
    return METHOD_ORDER.index(key.method), key.group_size or 0


def _over(measured: Aligned) -> str:
    left_out = f"; {measured.left_out} without a verdict in some run are left out" if measured.left_out else ""
    return (
        f"In brackets 95 % intervals, paired, by bootstrap over the {measured.questions} questions that all runs "
        f"answered{left_out}. Positive Gen↓ is lost; a negative difference in Gen↓ is less lost."
    )
