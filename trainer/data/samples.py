"""Samples (x, y*, a*) of a source, whatever its layout and kind of file (`rewright.clients.rows`).

Promises: a missing column, an unreadable line or an absent file is a `CorpusError` that names it; a row that is no
sample comes back with its reason, for `rewright.trainer.data.corpus` to count. Rows come in the order of the source.

Not covered: images, and several turns.
"""

import hashlib
import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.layouts import Layout, check_columns, layout_named, record_of
from rewright.clients.rows.reading import HUB, Row, read_rows
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Source

_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Sample:
    id: str
    problem: str
    reference: str
    answer: str | None
    source: str

    @property
    def problem_hash(self) -> str:
        """Equal for problems that differ in white space or Unicode form alone."""
        plain = _SPACE.sub(" ", unicodedata.normalize("NFKC", self.problem)).strip()
        return hashlib.sha256(plain.encode()).hexdigest()

    @property
    def is_unicode(self) -> bool:
        """False for a text with half of a surrogate pair, which JSON can spell and no file or tokenizer takes."""
        try:
            "".join([self.problem, self.reference, self.answer or ""]).encode()
        except UnicodeEncodeError:
            return False
        return True

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


class LeftOut(NamedTuple):
    """detail: what the reason does not say, such as the two answers that differ; may be blank."""

    id: str
    source: str
    reason: str
    detail: str = ""


def read_source(source: Source, name: str | None = None) -> Iterator[Sample | LeftOut]:
    """Each row of one source, read lazily: a sample, or why it is none. name: of the source, where its own is taken.

    Raises `CorpusError` for what cannot be read, columns that are missing, a layout without solutions, and a source of
    which no row is a sample.
    """
    name = name or source.name
    layout = layout_named(source.layout, problem=source.problem, solution=source.solution, answer=source.answer)
    if not layout.holds_solutions:
        raise CorpusError(
            f"{name}: layout {source.layout} holds problems and golds but no solutions, and a corpus needs y*; "
            "name a column that holds them with solution, or another source"
        )
    place = f"{HUB}{source.hub}" if source.hub is not None else source.path or ""
    reasons: Counter[str] = Counter()
    rows = 0
    try:
        for row in itertools.islice(read_rows(place, split=source.split, config=source.config), source.limit):
            if row.number == 0:
                check_columns(name, source.layout, layout, row.values)
            rows += 1
            read = _sample(name, row, layout)
            if isinstance(read, LeftOut):
                reasons[read.reason] += 1
            yield read
    except UnreadableData as error:
        raise CorpusError(f"corpus.sources: {error.message}") from None
    if rows == 0:
        raise CorpusError(f"{name}: there are no rows in it")
    if reasons.total() == rows:
        raise CorpusError(f"{name}: none of its {rows} rows can be used: {_said(reasons)}; is it the layout?")


def read_all(source: Source) -> Iterator[Sample]:
    """The samples alone."""
    return (read for read in read_source(source) if isinstance(read, Sample))


def iter_samples(file: Path) -> Iterator[Sample]:
    """What `write_samples` wrote, one at a time."""
    with file.open("rb") as lines:
        yield from (Sample(**json.loads(line)) for line in lines)


def read_samples(file: Path) -> list[Sample]:
    """What `write_samples` wrote."""
    return list(iter_samples(file))


def write_samples(file: Path, samples: Iterable[Sample]) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(sample.as_json() + "\n" for sample in samples)


def hash_of(samples: Iterable[Sample]) -> str:
    """Identifies the data: over texts and answers in order, whatever they are called and wherever they come from."""
    digest = hashlib.sha256()
    for s in samples:
        digest.update(json.dumps([s.problem, s.reference, s.answer], ensure_ascii=False).encode())
    return f"sha256:{digest.hexdigest()}"


def _sample(name: str, row: Row, layout: Layout) -> Sample | LeftOut:
    own = row.values.get("id", row.values.get("uuid"))
    identity = str(own) if isinstance(own, str | int) and own != "" else f"{name}#{row.number}"
    problem, solution, answer, reason = record_of(layout, row.values)
    if reason is not None:
        return LeftOut(identity, name, reason)
    return Sample(id=identity, problem=problem, reference=solution, answer=answer, source=name)


def _said(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
