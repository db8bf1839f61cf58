"""CSV, Parquet and Arrow as rows, batch by batch. Parquet and Arrow need pyarrow, which the trainer brings."""

import csv
import importlib.util
import io
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from rewright.clients.rows.json_rows import LONGEST_LINE, UnreadableData, lines_of

_ROWS_AT_ONCE = 256


def csv_rows(
    opened: Callable[[], BinaryIO], name: str, *, delimiter: str = ","
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row); a cell without content is None. Raises `UnreadableData` for cells that fit no column."""
    csv.field_size_limit(LONGEST_LINE)
    text = io.TextIOWrapper(opened(), encoding="utf-8-sig", newline="")
    try:
        top = text.readline()
        if delimiter not in top:
            delimiter = next((other for other in ";\t" if other in top), delimiter)
        reader = csv.reader(itertools.chain([top] if top else [], text), delimiter=delimiter, strict=True)
        header = next(reader, None)
        if header is None:
            return
        if len(set(header)) < len(header):
            raise UnreadableData(f"{name}: two columns have one name; rename one")
        for cells in reader:
            place = f"{name}, line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise UnreadableData(
                    f"{place}: {len(cells)} cells under {len(header)} columns; quote cells with commas"
                )
            yield place, {column: cell or None for column, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise UnreadableData(f"{name}, line {reader.line_num}: no CSV ({error})") from None
    except UnicodeDecodeError:
        with opened() as stream:
            deque(lines_of(stream, name), maxlen=0)  # which names the line and the byte
        raise UnreadableData(f"{name}: not UTF-8; save the file as UTF-8") from None
    finally:
        text.close()


def parquet_rows(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row). Raises `UnreadableData` for what is no Parquet file."""
    _require_pyarrow(name)
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield from _numbered(file.iter_batches(batch_size=_ROWS_AT_ONCE), name)
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableData(f"{name}: no Parquet file ({_line(error)})") from None


def arrow_rows(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, row) of an Arrow file or stream, as `datasets` saves it."""
    _require_pyarrow(name)
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(path)) as source:
            try:
                reader = pyarrow.ipc.open_stream(source)
                batches = iter(reader)
            except pyarrow.ArrowInvalid:
                source.seek(0)
                file = pyarrow.ipc.open_file(source)
                batches = (file.get_batch(index) for index in range(file.num_record_batches))
            small = (batch.slice(at, _ROWS_AT_ONCE) for batch in batches for at in range(0, len(batch), _ROWS_AT_ONCE))
            yield from _numbered(small, name)
    except (pyarrow.ArrowException, OSError) as error:
        raise UnreadableData(f"{name}: no Arrow file ({_line(error)})") from None


def zstd_stream(path: Path) -> BinaryIO:
    """The text packed in a .zst file. Raises `UnreadableData` without pyarrow."""
    _require_pyarrow(path.name)
    import pyarrow

    packed: Any = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
    return io.BufferedReader(packed)


def _numbered(batches: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for batch in batches:
        for row in batch.to_pylist():
            number += 1
            yield f"{name}, row {number}", row


def _require_pyarrow(name: str) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise UnreadableData(f"{name}: pyarrow reads it; pip install pyarrow, or 'rewright[trainer]'")


def _line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:200]
