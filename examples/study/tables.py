"""The study's numbers as one page and one JSON file: methods and predictions with intervals, by seed and in all.

What is there is reported: data sets by their names in the recipe, of which `sft`, `sdft`, `mind_the_gap`, `select`,
`agent`, `agent_no_dist` and `agent_soft` take part in predictions.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from examples.study.measures import (
    Difference,
    Likelihoods,
    Row,
    accuracies,
    accuracy,
    built,
    completion,
    difference,
    passed,
    shape,
    verdicts,
    yields,
)
from rewright.clients.http_client import RewardClient

MOST_BARE = 0.02
LENGTHS = (0.5, 2.0)


class Found(NamedTuple):
    """Rows of data sets and verdicts of evaluations, each by label and then by id."""

    rows: dict[str, dict[str, Row]]
    right: dict[str, dict[str, bool]]


def write_results(works: Sequence[Path], client: RewardClient, folder: Path) -> Path:
    """results.json and results.md of all seeds so far; the page."""
    likelihoods = Likelihoods(client)
    seeds = {seed.name: _found(seed / "work") for seed in works}
    parts = seeds | ({"all seeds": _together(seeds)} if len(seeds) > 1 else {})
    results = {name: _numbers(found, likelihoods) for name, found in parts.items()}
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = folder / "results.md"
    lines = [line for name, numbers in results.items() for line in _page(name, numbers)]
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page


def _found(work: Path) -> Found:
    """Only what has been evaluated."""
    labels = sorted(file.stem.removeprefix("evaluate-") for file in (work / "steps").glob("evaluate-*.json"))
    right = {label: verdicts(work, label) for label in labels}
    return Found({label: built(work, label) for label in labels if label != "base"}, right)


def _together(seeds: Mapping[str, Found]) -> Found:
    def joined(parts: Mapping[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        common = set.intersection(*(set(part) for part in parts.values()))
        return {
            label: {f"{name} {seed}": row for seed, part in parts.items() for name, row in part[label].items()}
            for label in sorted(common)
        }

    return Found(
        joined({seed: found.rows for seed, found in seeds.items()}),
        joined({seed: found.right for seed, found in seeds.items()}),
    )


def _numbers(found: Found, likelihoods: Likelihoods) -> dict[str, Any]:
    likelihoods.ask(
        [(_problem(row), text) for some in found.rows.values() for row in some.values()
         for text in (completion(row), row["reference"])]
    )  # fmt: skip
    methods = {label: _method(found, label, likelihoods) for label in found.right}
    return {"methods": methods, "predictions": _predictions(found, likelihoods)}


def _method(found: Found, label: str, likelihoods: Likelihoods) -> dict[str, Any]:
    right = found.right
    numbers: dict[str, Any] = {"arithmetic": accuracy(right[label], "a"), "general": accuracy(right[label], "g")}
    if label == "base":
        return numbers
    numbers["gain"] = accuracies(right[label], right["base"], "a")
    numbers["general_change"] = accuracies(right[label], right["base"], "g")
    rows = found.rows[label]
    form = shape(rows)
    numbers["problems"] = len(rows)
    if form is None:
        return numbers
    good = [row for row in rows.values() if passed(row)]
    numbers |= form._asdict()
    numbers["yield"] = len(good) / len(rows)
    numbers["tokens_a_problem"] = statistics.fmean(row["tokens_written"] for row in rows.values())
    if good:
        numbers["nll"] = statistics.fmean(likelihoods.mean(_problem(row), completion(row)) for row in good)
        numbers["nll_of_references"] = statistics.fmean(
            likelihoods.mean(_problem(row), row["reference"]) for row in good
        )
    return numbers


def _predictions(found: Found, likelihoods: Likelihoods) -> list[dict[str, Any]]:
    rows, right = found

    def like(first: str, second: str | None) -> Difference | None:
        there = first in rows and (second is None or second in rows)
        return _like(rows[first], rows[second] if second else None, likelihoods) if there else None

    def right_ones(first: str, second: str, kind: str) -> Difference | None:
        return accuracies(right[first], right[second], kind) if first in right and second in right else None

    def passing(first: str, second: str) -> Difference | None:
        return yields(rows[first], rows[second]) if first in rows and second in rows else None

    said = [
        _said("1", "NLL at like length, reference - SDFT", like("sdft", None), "above"),
        _said("1", "NLL at like length, SDFT - agent", like("sdft", "agent"), "above"),
        _said("2", "yield, agent - SDFT", passing("agent", "sdft"), "above"),
        _said("3", "general, SDFT - SFT", right_ones("sdft", "sft", "g"), "above"),
        _said("3", "general, SDFT - Mind the Gap", right_ones("sdft", "mind_the_gap", "g"), None),
        _said("3", "general, agent - SDFT", right_ones("agent", "sdft", "g"), "above"),
        _said("3", "general, agent - SFT", right_ones("agent", "sft", "g"), "above"),
        _said("4", "general, agent - without r_dist", right_ones("agent", "agent_no_dist", "g"), "above"),
        _said("5", "yield, agent - soft", passing("agent", "agent_soft"), "above"),
        _said("5", "arithmetic, agent - soft", right_ones("agent", "agent_soft", "a"), "above"),
        _said("6", "yield, select - agent", passing("select", "agent"), "above"),
        _said("6", "NLL at like length, select - agent", like("select", "agent"), "above"),
        _said("6", "general, agent - select", right_ones("agent", "select", "g"), None),
        _said("6", "arithmetic, agent - select", right_ones("agent", "select", "a"), None),
    ]
    found_shape = shape(rows["agent"]) if "agent" in rows else None
    if found_shape is not None:
        keeps = found_shape.bare < MOST_BARE and LENGTHS[0] <= found_shape.length_ratio <= LENGTHS[1]
        held = "held" if keeps else "not held"
        said.append({"name": "7", "what": "the reasoning stays", "verdict": held, **found_shape._asdict()})
    return [each for each in said if each is not None]


def _said(name: str, what: str, found: Difference | None, expected: str | None) -> dict[str, Any] | None:
    """expected: the side of 0 that was predicted; None for no side. None where it was not measured."""
    if found is None:
        return None
    side = found.side()
    verdict = side if expected is None or side == "undecided" else "held" if side == expected else "not held"
    return {"name": name, "what": what, "difference": found, "verdict": verdict}


def _like(first: dict[str, Row], second: dict[str, Row] | None, likelihoods: Likelihoods) -> Difference | None:
    """Of rows that passed. second: None for the references of the first: then reference minus first."""
    pairs = []
    for name in sorted(first):
        row = first[name]
        if not passed(row) or (second is not None and not passed(second[name])):
            continue
        if second is None:
            pairs.append(likelihoods.alike(_problem(row), row["reference"], completion(row)))
        else:
            pairs.append(likelihoods.alike(_problem(row), completion(row), completion(second[name])))
    return difference(pairs)


def _problem(row: Row) -> str:
    return str(row["prompt"][-1]["content"])


def _page(name: str, numbers: Mapping[str, Any]) -> list[str]:
    lines = [f"## {name}", ""]
    lines += ["| | yield | NLL | of references | bare | length | arithmetic | gain | general | change |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for label, m in numbers["methods"].items():
        cells = [_percent(m.get("yield")), _number(m.get("nll")), _number(m.get("nll_of_references"))]
        cells += [_percent(m.get("bare")), _number(m.get("length_ratio")), _percent(m["arithmetic"])]
        cells += [_points(m.get("gain")), _percent(m["general"]), _points(m.get("general_change"))]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    lines += ["", "| | difference | | |", "|---|---|---:|---|"]
    for p in numbers["predictions"]:
        if "difference" in p:
            said = "{:+.3f} ± {:.3f} (n = {})".format(*p["difference"])
        else:
            said = f"bare {p['bare']:.1%}, length {p['length_ratio']:.2f}"
        lines.append(f"| {p['name']} | {p['what']} | {said} | {p['verdict']} |")
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _points(value: Difference | None) -> str:
    return "-" if value is None else f"{100 * value.mean:+.1f} ± {100 * value.half_width:.1f}"
