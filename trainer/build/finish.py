"""What is made of the rows when the last one is there: the dataset's files, its card, build.json at the very end.

Promises: nothing here writes a row; a finish that was cut short is done again from the rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewright.trainer.build.card import dataset_card, write_card_plots
from rewright.trainer.build.folder import BuildFolder
from rewright.trainer.build.formats import hub_features, rows_of, write_jsonl, write_llama_factory, write_parquet
from rewright.trainer.build.matched import nll_at_matched_length
from rewright.trainer.build.numbers import mean, numbers_of

DIVERSITY_TEXTS = 64
Diversity = Callable[[Sequence[str]], float | None]
"""D (eq. 10) of a set of texts."""


@dataclass(frozen=True)
class Facts:
    """What is known beside the rows.

    diversity: as `diversity_of` gives it; session: seconds and busy seconds of the last run that wrote rows.
    """

    method: str
    success_only: bool
    format: str
    rewriter: dict[str, Any] | None
    samples: int
    left_out: dict[str, int]
    settings: dict[str, Any]
    provenance: dict[str, Any]
    diversity: dict[str, Any]
    session: dict[str, Any]


def finish(folder: BuildFolder, facts: Facts) -> Path:
    """The dataset's file. Raises `RunFolderError` where the disk refuses."""
    dataset = folder.dataset(facts.format)
    report = build_report(folder.rows, facts)
    write = write_parquet if facts.format == "parquet" else write_jsonl
    write(folder.rows, dataset, success_only=facts.success_only)
    write_llama_factory(rows_of(folder.rows, success_only=facts.success_only), folder.llama_factory)
    numbers = numbers_of(rows_of(folder.rows, success_only=facts.success_only))
    write_card_plots(numbers, folder.plots, title=facts.method)
    folder.card.write_text(dataset_card(report, numbers, file=dataset.name, features=hub_features()), encoding="utf-8")
    folder.finish(report)
    return dataset


def build_report(rows: Path, facts: Facts) -> dict[str, Any]:
    """The content of build.json. Counts and yield are over all samples, whether or not fallbacks are left out."""
    everything = numbers_of(rows_of(rows, success_only=False))
    kept = everything.counts
    if facts.success_only:
        kept = {origin: count for origin, count in kept.items() if origin != "reference"}
    seconds = facts.session["seconds"]
    return {
        "method": facts.method,
        "success_only": facts.success_only,
        "rewriter": facts.rewriter,
        "samples": facts.samples,
        "rows": sum(kept.values()),
        "counts": everything.counts,
        "yield": everything.task_yield,
        "attempts": everything.attempts(),
        "tokens_written": everything.tokens.total(),
        "gates": dict(sorted(everything.gates.items())),
        "cut_off": everything.cut_off,
        "nll": everything.nll_by_origin(),
        "reference_nll": everything.reference_nll_by_origin(),
        "nll_mean": mean(v for v, o in zip(everything.nll, everything.origins, strict=True) if o in kept),
        "reference_nll_mean": mean(everything.reference_nll),
        "nll_matched": nll_at_matched_length(
            everything.nll,
            everything.length,
            everything.reference_nll,
            everything.reference_length,
            [origin != "reference" for origin in everything.origins],
        ),
        "diversity": facts.diversity,
        "left_out": facts.left_out,
        "seconds": seconds,
        "rows_of_last_run": facts.session["rows"],
        "generator_busy": facts.session["generator_busy_s"] / seconds if seconds else None,
        "service_busy": facts.session["service_busy_s"] / seconds if seconds else None,
        "settings": facts.settings,
        "provenance": facts.provenance,
    }


def diversity_of(rows: Path, *, success_only: bool, diversity: Diversity) -> dict[str, Any]:
    """D before and after, over the same evenly spaced rows."""
    count = sum(1 for _ in rows_of(rows, success_only=success_only))
    every = max(1, -(-count // DIVERSITY_TEXTS))
    some = [row for place, row in enumerate(rows_of(rows, success_only=success_only)) if place % every == 0]
    return {
        "texts": len(some),
        "references": diversity([row["reference"] for row in some]),
        "completions": diversity([row["completion"][-1]["content"] for row in some]),
    }
