"""The dataset card of a build: README.md with its numbers, and their plots. Holds no text of problems."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rewright.trainer.build.numbers import BuildNumbers, mean

METHODS = {
    "sft": "the references as they are",
    "sdft": "rewrites of the references by the backbone with a fixed prompt",
    "mind_the_gap": "the backbone's own solutions where they verify, else rewrites by the backbone with a fixed prompt",
    "mind_the_gap_guided": "the backbone's own solutions where they verify, else those with the reference as a hint",
    "agent": "rewrites of the references by a trained rewriting agent",
    "select": "of several candidates a sample the one with the best reward",
}


def dataset_card(
    report: Mapping[str, Any], numbers: BuildNumbers, *, file: str, features: Sequence[Mapping[str, Any]]
) -> str:
    """Markdown with the front matter of the hub. report: what goes into build.json; features: the types of the rows."""
    method = report["method"]
    fallback = "rows without a rewrite that verifies were left out" if report["success_only"] else (
        "where none verifies, the reference is kept"
    )  # fmt: skip
    head = {
        "configs": [{"config_name": "default", "data_files": file}],
        "dataset_info": {"features": list(features)},
        "tags": ["rewright", "math", "sft", "data-rewriting"],
    }
    front = f"---\n{yaml.safe_dump(head, sort_keys=False)}---"
    return f"""{front}

# SFT data by the method `{method}`

{report["rows"]} rows: {METHODS[method]}; {fallback} (eq. 14 of arXiv 2602.11220). Made with rewright.

A row has `prompt` and `completion` as messages, its `origin`, every component of its reward, all attempts, and its
provenance. Train on the completion alone; `llamafactory/` has the same rows for LLaMA-Factory.

| | |
|---|---:|
| samples | {report["samples"]} |
| task-consistency yield | {_share(report["yield"])} |
{_origins(numbers)}
| candidates that were written | {sum(numbers.gates.values())} |
| … of these cut at the token limit | {numbers.cut_off} |
| tokens that were written for them, a sample | {_number(_cost(report), 1)} |

{_chosen(report)}{_attempts(report["attempts"])}
Gates of the candidates: {_counted(numbers.gates)}. Left out at the corpus step: {_counted(report["left_out"])}.

## Distribution

NLL under π0, given the problem alone (eq. 6), nats per token; lengths in π0's tokens; diversity D (eq. 10) over
{report["diversity"]["texts"]} evenly spaced rows.

| | references | this dataset |
|---|---:|---:|
| NLL, mean | {_number(mean(numbers.reference_nll))} | {_number(mean(numbers.nll))} |
{_nll_rows(numbers)}
| length, mean | {_number(mean(numbers.reference_length), 1)} | {_number(mean(numbers.length), 1)} |
| diversity D | {_number(report["diversity"]["references"])} | {_number(report["diversity"]["completions"])} |

![NLL](plots/nll.png) ![Lengths](plots/length.png) ![Origins](plots/origin.png)

## Where it comes from

```json
{json.dumps(report["provenance"], ensure_ascii=False, indent=1)}
```

## Settings

```json
{json.dumps(report["settings"], ensure_ascii=False, indent=1)}
```
"""


def write_card_plots(numbers: BuildNumbers, folder: Path, *, title: str) -> list[Path]:
    """nll.png, length.png, origin.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    pairs: dict[str, tuple[str, Sequence[float | int | None], Sequence[float | int | None]]] = {
        "nll": ("NLL under π0, nats per token", numbers.reference_nll, numbers.nll),
        "length": ("length, tokens of π0", numbers.reference_length, numbers.length),
    }
    written = []
    for name, (label, before, after) in pairs.items():
        figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
        series = {"references": _there(before), "this dataset": _there(after)}
        everything = [value for values in series.values() for value in values]
        for which, values in series.items():
            if values:
                bins = (min(everything), max(everything) + 1e-9)
                axes.hist(values, bins=40, range=bins, alpha=0.5, label=which)
        if everything:
            axes.legend()
        axes.set(xlabel=label, ylabel="rows", title=title)
        written.append(_save(figure, folder / f"{name}.png"))
    figure, axes = pyplot.subplots(figsize=(6, 2.4), layout="constrained")
    axes.barh(list(numbers.counts), list(numbers.counts.values()))
    axes.set(xlabel="rows", title=title)
    written.append(_save(figure, folder / "origin.png"))
    return written


def _save(figure: Any, file: Path) -> Path:
    from matplotlib import pyplot

    figure.savefig(file, dpi=150)
    pyplot.close(figure)
    return file


def _there(values: Sequence[float | int | None]) -> list[float]:
    return [float(value) for value in values if value is not None]


def _origins(numbers: BuildNumbers) -> str:
    return "\n".join(f"| origin `{origin}` | {count} |" for origin, count in numbers.counts.items())


def _cost(report: Mapping[str, Any]) -> float | None:
    return report["tokens_written"] / report["samples"] if report["samples"] else None


def _chosen(report: Mapping[str, Any]) -> str:
    """What a method that chooses chose among."""
    select = report["settings"].get("select")
    if select is None:
        return ""
    return (
        f"K = {select['k']} candidates a sample (`{select['candidates']}`), drawn at temperature "
        f"{select['temperature']:g}; kept is the one with the largest total of eq. 3, of equal ones that with the "
        f"smallest NLL.\n\n"
    )


def _attempts(attempts: Mapping[str, Mapping[str, int]]) -> str:
    if not attempts:
        return ""
    rows = "".join(
        f"| `{origin}` | {of['written']} | {of['passed']} | {_share(of['passed'] / of['written'])} | {of['tokens']} |\n"
        for origin, of in attempts.items()
    )
    return f"| candidates | written | passed | share | tokens |\n|---|---:|---:|---:|---:|\n{rows}"


def _nll_rows(numbers: BuildNumbers) -> str:
    before, after = numbers.reference_nll_by_origin(), numbers.nll_by_origin()
    return "\n".join(
        f"| NLL, mean of origin `{o}` | {_number(before.get(o))} | {_number(after.get(o))} |" for o in numbers.counts
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"
