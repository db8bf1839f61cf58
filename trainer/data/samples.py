"""Samples (x, y*, a*) from files and hub data sets, in the layouts that the paper's corpora have.

Promises: a missing column, an unreadable line or an absent file is a `CorpusError` that names it; rows without a text
in problem or solution are given back as such, for `rewright.trainer.data.corpus` to count. Rows come in the order of
the source.

Layouts: `columns` (names given by the recipe); `numina_math_cot` (problem, solution, messages, source);
`open_math_reasoning` (problem, generated_solution, expected_answer; only inference_mode `cot`, and no proofs).
Not covered: images, and several turns.
"""

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rewright.service.models.errors import first_line
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Source

_SPACE = re.compile(r"\s+")
_NUMINA = ("problem", "solution")
_OPEN_MATH = ("problem", "generated_solution", "expected_answer")


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


def read_source(source: Source) -> Iterator[Sample]:
    """The samples of one source, read lazily.

    Raises `CorpusError` for a file that is not there, a line that is no JSON object, and columns that are missing.
    """
    rows = itertools.islice(_rows(source), source.limit)
    first = next(rows, None)
    if first is None:
        raise CorpusError(f"{source.name}: there are no rows in it")
    _require_columns(source, first)
    for index, row in enumerate(itertools.chain([first], rows)):
        if _belongs(source, row):
            yield _sample(source, index, row)


def read_samples(file: Path) -> list[Sample]:
    """What `write_samples` wrote."""
    with file.open(encoding="utf-8") as lines:
        return [Sample(**json.loads(line)) for line in lines]


def write_samples(file: Path, samples: Iterable[Sample]) -> None:
    with file.open("w", encoding="utf-8") as out:
        out.writelines(sample.as_json() + "\n" for sample in samples)


def hash_of(samples: Iterable[Sample]) -> str:
    """Identifies the data: over texts and answers in order, whatever they are called and wherever they come from."""
    digest = hashlib.sha256()
    for s in samples:
        digest.update(json.dumps([s.problem, s.reference, s.answer], ensure_ascii=False).encode())
    return f"sha256:{digest.hexdigest()}"


def _rows(source: Source) -> Iterator[Mapping[str, Any]]:
    if source.hub is not None:
        return _hub_rows(source)
    path = Path(source.path or "").expanduser()
    if not path.is_file():
        raise CorpusError(f"corpus.sources: there is no file {source.path!r}")
    if path.suffix == ".parquet":
        return parquet_rows(path)
    if path.suffix in (".jsonl", ".json"):
        return jsonl_rows(path)
    raise CorpusError(f"{path.name}: neither .jsonl nor .parquet; convert it, or name a hub data set with hub")


def jsonl_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise CorpusError(f"{path.name}, line {number}: no JSON ({error}); write one object per line") from None
            if not isinstance(row, dict):
                raise CorpusError(f"{path.name}, line {number}: no JSON object; write one object per line")
            yield row


def parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise CorpusError(f"{path.name}: no Parquet file ({error})") from None


def _hub_rows(source: Source) -> Iterator[Mapping[str, Any]]:
    import datasets

    try:
        yield from datasets.load_dataset(source.hub, source.config, split=source.split, streaming=True)
    except Exception as error:
        raise CorpusError(
            f"{source.hub}: cannot read split {source.split!r} from the hub: {first_line(error)}"
        ) from error


def _require_columns(source: Source, row: Mapping[str, Any]) -> None:
    wanted = {
        "columns": (source.problem, source.solution, *([source.answer] if source.answer else [])),
        "numina_math_cot": _NUMINA,
        "open_math_reasoning": _OPEN_MATH,
    }[source.layout]
    if missing := [column for column in wanted if column not in row]:
        hint = "set problem, solution and answer of the source" if source.layout == "columns" else "is it the layout?"
        raise CorpusError(
            f"{source.name}: layout {source.layout} needs the column {', '.join(map(repr, missing))}; "
            f"there are {', '.join(map(repr, row))}; {hint}"
        )


def _belongs(source: Source, row: Mapping[str, Any]) -> bool:
    if source.layout != "open_math_reasoning":
        return True
    return row.get("inference_mode", "cot") == "cot" and row.get("problem_type") != "converted_proof"


def _sample(source: Source, index: int, row: Mapping[str, Any]) -> Sample:
    if source.layout == "numina_math_cot":
        problem, solution, answer = row["problem"], row["solution"], row.get("answer")
    elif source.layout == "open_math_reasoning":
        problem, solution, answer = (row[column] for column in _OPEN_MATH)
    else:
        problem, solution = row.get(source.problem), row.get(source.solution)
        answer = row.get(source.answer) if source.answer else None
    name = row.get("id")
    return Sample(
        id=str(name) if isinstance(name, str | int) else f"{source.name}#{index}",
        problem=_text(problem),
        reference=_text(solution),
        answer=_text(answer) or None,
        source=source.name,
    )


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value.strip() if isinstance(value, str) else ""
