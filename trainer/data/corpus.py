"""The corpus of a run: read, filtered alike for every method, drawn, and split into Stage I and Stage II.

Promises: the same recipe over the same files gives the same bytes, whatever killed a run on the way; memory does not
grow with the texts; every sample that was looked at and left out is counted, and listed in `left_out.jsonl` with its
reason; a reference is never cut; a folder that holds a finished corpus of the same settings is read back instead of
being made again, and an unfinished one is gone on with.

Left out, in this order: what the reader cannot use (`empty`, `no_answer` and the other reasons of
`rewright.clients.rows.layouts`), `broken_text` (half of a surrogate pair), `duplicate` (of an earlier problem, white
space aside), `contaminated` (shares an evaluation question, or 13 words of one), `control_tokens` (spells a control
token of the tokenizer, which a chat template would let through as one), `too_long` (problem and solution),
`prompt_too_long` (the rendered rewriting prompt), `bad_gold` (the verifier cannot read the gold answer), and what y*
says of its own gold: `gold_differs`, `gold_not_stated`, `gold_undecided`; where a larger share misses than the corpus
allows, it is refused. A gold that is taken from y* itself proves nothing and is counted apart (`golds` in the report).
Samples are looked at in the order of the draw until enough are found. Counted alone: `not_sampled` (rows of a source of
which a sample is taken).
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rewright.trainer.data.listing import Listing
from rewright.trainer.data.pool import Pool
from rewright.trainer.data.reading import fill_pool
from rewright.trainer.data.samples import LeftOut, Sample, hash_of, iter_samples
from rewright.trainer.data.split import Stage
from rewright.trainer.data.whole_files import read_json, write_json, write_text
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Corpus

log = logging.getLogger(__name__)

CHUNK = 1024
"""Samples that are looked at together; the verifier sees them in requests of the client's own size."""


class Reason(NamedTuple):
    """Why a sample is left out; detail as in `LeftOut`."""

    code: str
    detail: str = ""


Refusals = Callable[[Sequence[Sample]], Mapping[str, Reason]]
"""Samples → reason by sample id, for those that are to be left out."""

GOLD_MISSES = ("gold_differs", "gold_not_stated", "gold_undecided")
"""Reasons of samples whose y* was asked for its own gold and did not give it."""
_ENOUGH_GOLDS = 200
"""Golds that must have been checked before a share of them ends the run early."""
_NAMES: dict[Stage, str] = {"one": "stage_one", "two": "stage_two"}


@dataclass
class CorpusReport:
    """What `report.json` holds; counts: rows that were left out, by reason."""

    settings: dict[str, Any]
    read: int = 0
    looked_at: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    golds: dict[str, int] = field(default_factory=lambda: {"given": 0, "from_reference": 0})
    data_hash: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Stages:
    """What the rewriter is trained on (stage I) and what it rewrites (stage II). No problem is in both."""

    folder: Path
    counts: dict[str, int]
    data_hash: dict[str, str]

    @cached_property
    def stage_one(self) -> list[Sample]:
        return list(iter_samples(self.folder / "stage_one.jsonl"))

    @cached_property
    def stage_two(self) -> list[Sample]:
        return list(iter_samples(self.folder / "stage_two.jsonl"))


def prepare_corpus(
    corpus: Corpus, folder: Path, *, settings: Mapping[str, Any], filters: Sequence[Refusals], needed: Stage = "one"
) -> Stages:
    """Make the corpus in `folder` (stage_one.jsonl, stage_two.jsonl, left_out.jsonl, report.json), or read it back.

    settings: all that the result depends on, compared with those of a corpus that is there already.
    filters: asked in order, each about what the ones before it let pass; needed: the stage that must not be empty.

    Raises `CorpusError` where sources cannot be read, where the needed stage would be empty, where too many golds are
    not what their own solutions say, and where `folder` holds a corpus of other settings.
    """
    wanted = json.loads(json.dumps(settings))
    report_file = folder / "report.json"
    if report_file.is_file():
        return _read_back(folder, json.loads(report_file.read_text(encoding="utf-8")), wanted)
    draw = _Draw(corpus, folder, filters, wanted)
    report = draw.run(needed)
    for name in _NAMES.values():
        report.data_hash[name] = hash_of(iter_samples(folder / f"{name}.jsonl"))
    # The report comes last and at once: a folder that has one is complete.
    write_text(report_file, json.dumps(asdict(report), ensure_ascii=False, indent=1))
    draw.clear()
    log.info("corpus of %d rows: kept %s, golds %s, left out %s", report.read, report.kept, report.golds, report.counts)
    return Stages(folder, counts=report.counts, data_hash=report.data_hash)


def by_rule(reason: str, is_refused: Callable[[Sample], bool], *, threads: int = 1) -> Refusals:
    """A filter that looks at one sample at a time; threads: more than one where a rule's work is a tokenizer's."""

    def refusals(samples: Sequence[Sample]) -> Mapping[str, Reason]:
        with ThreadPoolExecutor(threads) as pool:
            refused = (pool.map if threads > 1 else map)(is_refused, samples)
            return {sample.id: Reason(reason) for sample, yes in zip(samples, refused, strict=True) if yes}

    return refusals


class _Draw:
    """From sources to the files of both stages, chunk by chunk; after each chunk it is noted where the run stands."""

    def __init__(self, corpus: Corpus, folder: Path, filters: Sequence[Refusals], settings: Mapping[str, Any]) -> None:
        self._corpus = corpus
        self._folder = folder
        self._filters = filters
        self._settings = settings
        self._pool = Pool(folder)
        self._listing = Listing(folder)
        self._state_file = folder / "draw.json"
        self._position: dict[Stage, int] = {"one": 0, "two": 0}
        self._kept: dict[Stage, int] = {"one": 0, "two": 0}
        self._bytes: dict[Stage, int] = {"one": 0, "two": 0}
        self._report = CorpusReport(settings=dict(settings))

    def run(self, needed: Stage) -> CorpusReport:
        """The report, all but the hashes."""
        self._read_or_resume()
        report, listing = self._report, self._listing
        orders = {stage: self._pool.order(stage) for stage in _NAMES}
        sizes = self._sizes({stage: len(order) for stage, order in orders.items()})
        for stage, order in orders.items():
            self._draw(stage, order, sizes[stage])
        self._check_golds(enough=1)
        listing.close()
        report.kept = {_NAMES[stage]: kept for stage, kept in self._kept.items()}
        report.counts = dict(listing.counts.most_common())
        if not self._kept[needed]:
            name = {"one": "Stage I", "two": "Stage II"}[needed]
            raise CorpusError(
                f"no sample is left for {name} of {report.read} that were read; left out: {report.counts}"
            )
        return report

    def clear(self) -> None:
        """The corpus is whole; what only an unfinished one needs goes."""
        self._pool.remove()
        self._state_file.unlink(missing_ok=True)

    def _read_or_resume(self) -> None:
        if self._pool.load(self._settings):
            state = read_json(self._state_file) or self._pool.facts
            log.info("going on with the corpus in %s", self._folder)
            self._listing.resume(state["listing"])
            if "position" in state:
                self._position, self._kept, self._bytes = state["position"], state["kept"], state["bytes"]
                self._report.golds, self._report.looked_at = state["golds"], state["looked_at"]
        else:
            self._state_file.unlink(missing_ok=True)
            read = fill_pool(self._corpus, self._pool, self._listing)
            self._pool.finish({"settings": self._settings, "read": read, "listing": self._listing.state()})
        self._report.read = self._pool.facts["read"]

    def _sizes(self, available: Mapping[Stage, int]) -> dict[Stage, int]:
        if self._corpus.draw is None:
            return dict(available)
        one = round(self._corpus.draw * self._corpus.stage_one_share)
        return {"one": one, "two": self._corpus.draw - one}

    def _draw(self, stage: Stage, order: Sequence[int], size: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{_NAMES[stage]}.jsonl"
        with file.open("r+b" if file.is_file() and self._bytes[stage] else "wb") as out:
            out.truncate(self._bytes[stage])
            out.seek(self._bytes[stage])
            while self._kept[stage] < size and self._position[stage] < len(order):
                # No more than are still missing: what is not looked at costs nothing.
                start = self._position[stage]
                chunk = self._pool.samples(order[start : start + min(CHUNK, size - self._kept[stage])])
                passing = self._passing(chunk)
                given = sum(sample.answer is not None for sample in passing)
                self._report.golds["given"] += given
                self._report.golds["from_reference"] += len(passing) - given
                self._check_golds(enough=_ENOUGH_GOLDS)
                out.writelines(sample.as_json().encode() + b"\n" for sample in passing)
                out.flush()
                self._report.looked_at += len(chunk)
                self._position[stage] += len(chunk)
                self._kept[stage] += len(passing)
                self._bytes[stage] = out.tell()
                self._note()

    def _note(self) -> None:
        state = {"position": self._position, "kept": self._kept, "bytes": self._bytes, "golds": self._report.golds}
        write_json(self._state_file, state | {"looked_at": self._report.looked_at, "listing": self._listing.state()})

    def _passing(self, samples: list[Sample]) -> list[Sample]:
        for refusals in self._filters:
            refused = refusals(samples) if samples else {}
            self._listing.extend(LeftOut(s.id, s.source, *refused[s.id]) for s in samples if s.id in refused)
            samples = [s for s in samples if s.id not in refused]
        return samples

    def _check_golds(self, *, enough: int) -> None:
        """Raises `CorpusError` where of at least `enough` given golds a larger share is missed by their own y*."""
        missed = sum(self._listing.counts[reason] for reason in GOLD_MISSES)
        given = self._report.golds["given"] + missed
        limit = self._corpus.max_gold_misses
        if given >= enough and missed > limit * given:
            first = [name for reason in GOLD_MISSES for name in self._listing.first.get(reason, [])]
            raise CorpusError(
                f"{missed} of {given} gold answers are not what their own solutions say, more than "
                f"corpus.max_gold_misses = {limit:g} lets pass; the first: {', '.join(first[:5])}. Look at the column "
                "that answer names, or raise the limit: those that miss are left out in any case"
            )


def _read_back(folder: Path, report: Mapping[str, Any], wanted: Mapping[str, Any]) -> Stages:
    if report["settings"] != wanted:
        changed = [key for key in wanted if report["settings"].get(key) != wanted[key]]
        raise CorpusError(
            f"{folder} holds a corpus of other settings (changed: {', '.join(changed) or 'some were removed'}); "
            "use another run folder"
        )
    for name in _NAMES.values():
        if hash_of(iter_samples(folder / f"{name}.jsonl")) != report["data_hash"][name]:
            raise CorpusError(f"{folder / name}.jsonl is not what was written there; use another run folder")
    return Stages(folder, counts=report["counts"], data_hash=report["data_hash"])
