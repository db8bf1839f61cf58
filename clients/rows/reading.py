"""Rows of a file, a folder, a glob or a hub data set: the one reader of `score`, `judge-eval`, corpora, SFT and audits.

Promises: rows come lazily, in the order of the files and their lines, with a place to name in messages; memory does not
grow with the file; whatever cannot be read is an `UnreadableData` that names place and fix.

Reads: JSON lines, JSON arrays, CSV and TSV (packed or not: gz, bz2, xz, zst), Parquet, Arrow; `hub:owner/name`, with
`/config` and `@split` behind it where they are needed.
"""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

from rewright.clients.rows.json_rows import UnreadableData, json_rows, lined_rows
from rewright.clients.rows.source_files import DataFile, data_files
from rewright.clients.rows.tables import arrow_rows, csv_rows, parquet_rows, zstd_stream

HUB = "hub:"


class Row(NamedTuple):
    """place: file and line or row, for messages; number: from 0, over all files together."""

    place: str
    number: int
    values: Mapping[str, Any]


def read_rows(name: str, *, split: str = "train", config: str | None = None) -> Iterator[Row]:
    """name: a path, a folder, a glob, or `hub:owner/name[/config][@split]`. Raises `UnreadableData`."""
    if name.startswith(HUB):
        hub, _, own_split = name.removeprefix(HUB).partition("@")
        owner, _, rest = hub.partition("/")
        repository, _, own_config = rest.partition("/")
        rows = hub_rows(f"{owner}/{repository}", config=own_config or config, split=own_split or split)
    else:
        rows = (row for file in data_files(name, split=split) for row in _rows_of(file))
    for number, (place, values) in enumerate(rows):
        yield Row(place, number, values)


def hub_rows(name: str, *, config: str | None, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of a hub data set, streamed. Raises `UnreadableData` where the hub gives none."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise UnreadableData(f"{name}: datasets reads it; pip install datasets, or 'rewright[trainer]'") from None
    try:
        for number, row in enumerate(datasets.load_dataset(name, config, split=split, streaming=True), start=1):
            yield f"{name}, row {number}", row
    except Exception as error:  # whatever the hub, the network or a script of the data set raises
        first = str(error).strip().partition("\n")[0]
        raise UnreadableData(f"{name}: cannot read split {split!r} from the hub: {first}") from error


def _rows_of(file: DataFile) -> Iterator[tuple[str, dict[str, Any]]]:
    name = file.path.name
    if file.kind == "parquet":
        yield from parquet_rows(file.path, name)
        return
    if file.kind == "arrow":
        yield from arrow_rows(file.path, name)
        return
    try:
        if file.kind == "json":
            yield from json_rows(lambda: _opened(file), name)
        elif file.kind == "jsonl":
            with _opened(file) as stream:
                yield from lined_rows(stream, name)
        else:
            yield from csv_rows(lambda: _opened(file), name, delimiter="\t" if file.kind == "tsv" else ",")
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise UnreadableData(f"{name}: cannot be unpacked ({error}); is it whole?") from None
    except OSError as error:
        raise UnreadableData(f"cannot read {name}: {error.strerror or error}") from None


def _opened(file: DataFile) -> BinaryIO:
    match file.packing:
        case ".gz":
            return cast(BinaryIO, gzip.open(file.path))
        case ".bz2":
            return cast(BinaryIO, bz2.open(file.path))
        case ".xz":
            return cast(BinaryIO, lzma.open(file.path))
        case ".zst":
            return zstd_stream(file.path)
    return file.path.open("rb")
