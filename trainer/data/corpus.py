"""The corpus of a run: read, filtered alike for every method, drawn, and split into Stage I and Stage II.

Promises: the same recipe over the same files gives the same samples in the same order; every sample that was looked at
and left out is counted and listed with its reason; a reference is never cut; a folder that holds a finished corpus of
the same settings is read back instead of being made again.

Left out, in this order: what the reader cannot use (`empty`, `no_answer` and the other reasons of
`rewright.clients.rows.layouts`), `broken_text` (half of a surrogate pair), `duplicate` (of
an earlier problem, white space aside), `control_tokens` (spells a control token of the tokenizer, which a chat template
would let through as one), `too_long` (problem and solution), `prompt_too_long` (the rendered rewriting prompt),
`bad_gold` (the verifier cannot read the gold answer), and what y* says of its own gold: `gold_differs`,
`gold_not_stated`, `gold_undecided`; where a larger share misses than the corpus allows, it is refused. A gold that is
taken from y* itself proves nothing and is counted apart (`golds` in the report). Samples are looked at in the order of
the draw until enough are found.

Not covered: whether a problem occurs in a benchmark too.
"""

import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rewright.trainer.data.samples import LeftOut, Sample, hash_of, read_samples, read_source, write_samples
from rewright.trainer.data.split import Stage, place_in_draw, stage_of
from rewright.trainer.data.whole_files import write_text
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Corpus, Source

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


@dataclass
class CorpusReport:
    """What `report.json` holds beside the samples."""

    settings: dict[str, Any]
    read: int = 0
    looked_at: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)
    golds: dict[str, int] = field(default_factory=lambda: {"given": 0, "from_reference": 0})
    data_hash: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        return dict(Counter(left.reason for left in self.left_out).most_common())

    def check_golds(self, limit: float, *, enough: int = 1) -> None:
        """Raises `CorpusError` where of at least `enough` given golds a larger share is missed by their own y*."""
        missed = [left for left in self.left_out if left.reason in GOLD_MISSES]
        given = self.golds["given"] + len(missed)
        if given >= enough and len(missed) > limit * given:
            raise CorpusError(
                f"{len(missed)} of {given} gold answers are not what their own solutions say, more than "
                f"corpus.max_gold_misses = {limit:g} lets pass; the first: {', '.join(m.id for m in missed[:5])}. Look "
                "at the column that answer names, or raise the limit: those that miss are left out in any case"
            )

    def as_json(self) -> str:
        listed = [{name: text for name, text in left._asdict().items() if text} for left in self.left_out]
        content = asdict(self) | {"left_out": listed, "counts": self.counts()}
        return json.dumps(content, ensure_ascii=False, indent=1)


@dataclass(frozen=True)
class Stages:
    """stage_one: what the rewriter is trained on; stage_two: what it rewrites. No problem is in both."""

    stage_one: list[Sample]
    stage_two: list[Sample]
    counts: dict[str, int]
    data_hash: dict[str, str]


def prepare_corpus(
    corpus: Corpus, folder: Path, *, settings: Mapping[str, Any], filters: Sequence[Refusals], needed: Stage = "one"
) -> Stages:
    """Make the corpus in `folder` (stage_one.jsonl, stage_two.jsonl, report.json), or read it back from there.

    settings: all that the result depends on, compared with those of a corpus that is there already.
    filters: asked in order, each about what the ones before it let pass; needed: the stage that must not be empty.

    Raises `CorpusError` where sources cannot be read, where the needed stage would be empty, where too many golds are
    not what their own solutions say, and where `folder` holds a corpus of other settings.
    """
    wanted = json.loads(json.dumps(settings))
    report_file = folder / "report.json"
    if report_file.is_file():
        return _read_back(folder, json.loads(report_file.read_text(encoding="utf-8")), wanted)
    report = CorpusReport(settings=wanted)
    pools = _in_order_of_draw(corpus, report)
    one, two = _sizes(corpus, {stage: len(pool) for stage, pool in pools.items()})
    stages = {
        "stage_one": _draw(pools["one"], one, filters, report, corpus.max_gold_misses),
        "stage_two": _draw(pools["two"], two, filters, report, corpus.max_gold_misses),
    }
    report.check_golds(corpus.max_gold_misses)
    if not stages[f"stage_{needed}"]:
        name = {"one": "Stage I", "two": "Stage II"}[needed]
        raise CorpusError(f"no sample is left for {name} of {report.read} that were read; left out: {report.counts()}")
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in stages.items():
        write_samples(folder / f"{name}.jsonl", samples)
        report.kept[name] = len(samples)
        report.data_hash[name] = hash_of(samples)
    # The report comes last and at once: a folder that has one is complete.
    write_text(report_file, report.as_json())
    log.info(
        "corpus of %d rows: kept %s, golds %s, left out %s", report.read, report.kept, report.golds, report.counts()
    )
    return Stages(**stages, counts=report.counts(), data_hash=report.data_hash)


def by_rule(reason: str, is_refused: Callable[[Sample], bool]) -> Refusals:
    """A filter that looks at one sample at a time."""
    return lambda samples: {sample.id: Reason(reason) for sample in samples if is_refused(sample)}


def _in_order_of_draw(corpus: Corpus, report: CorpusReport) -> dict[Stage, list[Sample]]:
    seen: set[str] = set()
    ids: set[str] = set()
    drawn: dict[Stage, list[tuple[float, Sample]]] = {"one": [], "two": []}
    for read in _all(corpus):
        report.read += 1
        if isinstance(read, LeftOut):
            report.left_out.append(read)
        elif not read.is_unicode:
            report.left_out.append(LeftOut(read.id, read.source, "broken_text"))
        elif (problem_hash := read.problem_hash) in seen:
            report.left_out.append(LeftOut(read.id, read.source, "duplicate"))
        else:
            seen.add(problem_hash)
            stage = stage_of(problem_hash, share=corpus.stage_one_share)
            drawn[stage].append((place_in_draw(problem_hash, seed=corpus.seed), _with_own_id(read, ids)))
    return {stage: [s for _, s in sorted(pool, key=lambda p: p[0])] for stage, pool in drawn.items()}


def _with_own_id(sample: Sample, taken: set[str]) -> Sample:
    """Two files, or two shards of one, may both count from 0; the later sample says where it comes from."""
    name = sample.id
    if name in taken:
        name = f"{sample.source}:{sample.id}"
    copies = itertools.count(2)
    while name in taken:
        name = f"{sample.source}:{sample.id}#{next(copies)}"
    taken.add(name)
    return sample if name == sample.id else replace(sample, id=name)


def _all(corpus: Corpus) -> Iterator[Sample | LeftOut]:
    for source, name in zip(corpus.sources, names_of(corpus.sources), strict=True):
        yield from read_source(source, name)


def names_of(sources: Sequence[Source]) -> list[str]:
    """A name for each source, none twice: the file's, its whole path where two are called alike, or with its number."""
    names = [source.name for source in sources]
    names = [(s.path or n) if names.count(n) > 1 else n for s, n in zip(sources, names, strict=True)]
    return [f"{n}[{index}]" if names.count(n) > 1 else n for index, n in enumerate(names)]


def _sizes(corpus: Corpus, available: Mapping[Stage, int]) -> tuple[int, int]:
    if corpus.draw is None:
        return available["one"], available["two"]
    one = round(corpus.draw * corpus.stage_one_share)
    return one, corpus.draw - one


def _draw(
    pool: Sequence[Sample], size: int, filters: Sequence[Refusals], report: CorpusReport, limit: float
) -> list[Sample]:
    kept: list[Sample] = []
    position = 0
    while len(kept) < size and position < len(pool):
        # No more than are still missing: what is not looked at costs nothing.
        chunk = list(pool[position : position + min(CHUNK, size - len(kept))])
        position += len(chunk)
        report.looked_at += len(chunk)
        passing = _passing(chunk, filters, report)
        given = sum(sample.answer is not None for sample in passing)
        report.golds["given"] += given
        report.golds["from_reference"] += len(passing) - given
        report.check_golds(limit, enough=_ENOUGH_GOLDS)
        kept += passing
    return kept


def _passing(samples: list[Sample], filters: Iterable[Refusals], report: CorpusReport) -> list[Sample]:
    for refusals in filters:
        refused = refusals(samples) if samples else {}
        report.left_out += [LeftOut(s.id, s.source, *refused[s.id]) for s in samples if s.id in refused]
        samples = [s for s in samples if s.id not in refused]
    return samples


def _read_back(folder: Path, report: Mapping[str, Any], wanted: Mapping[str, Any]) -> Stages:
    if report["settings"] != wanted:
        changed = [key for key in wanted if report["settings"].get(key) != wanted[key]]
        raise CorpusError(
            f"{folder} holds a corpus of other settings (changed: {', '.join(changed) or 'some were removed'}); "
            "use another run folder"
        )
    stages = {name: read_samples(folder / f"{name}.jsonl") for name in ("stage_one", "stage_two")}
    for name, samples in stages.items():
        if hash_of(samples) != report["data_hash"][name]:
            raise CorpusError(f"{folder / name}.jsonl is not what was written there; use another run folder")
    return Stages(**stages, counts=report["counts"], data_hash=report["data_hash"])
