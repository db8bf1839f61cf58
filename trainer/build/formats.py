"""A build's rows as files that trainers read: JSONL or Parquet for TRL, and a LLaMA-Factory data set.

Promises: every file appears whole or not at all, is made row by row, and has the rows in the order of the build. The
JSONL without fallbacks left out is the grown file itself under its second name, so that it costs no disk.

TRL: `prompt` and `completion` are lists of messages, which SFTTrainer takes as prompt and completion, with the loss on
the completion. LLaMA-Factory: the alpaca layout (instruction, input, output) of its data documentation, where the loss
falls on the output unless train_on_prompt is set.

Not covered: training with them (`rewright.trainer.sft.train`, `rewright.trainer.sft.llama_factory`).
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rewright.trainer.build.rows import as_line
from rewright.trainer.data.whole_files import UNFINISHED
from rewright.trainer.errors import RunFolderError

if TYPE_CHECKING:
    import pyarrow

DATA_SET_NAME = "rewright"
_ROWS_AT_ONCE = 1024


def rows_of(file: Path, *, success_only: bool) -> Iterator[dict[str, Any]]:
    """The rows of a grown file, the fallbacks left out where asked."""
    with file.open("rb") as lines:
        for line in lines:
            row = json.loads(line)
            if not (success_only and row["origin"] == "reference"):
                yield row


def write_jsonl(grown: Path, file: Path, *, success_only: bool) -> None:
    with _whole(file) as unfinished:
        if success_only:
            with unfinished.open("wb") as out:
                out.writelines(as_line(row) for row in rows_of(grown, success_only=True))
        else:
            _link(grown, unfinished)


def write_parquet(grown: Path, file: Path, *, success_only: bool) -> None:
    import pyarrow
    import pyarrow.parquet

    schema = _schema()
    rows = rows_of(grown, success_only=success_only)
    with _whole(file) as unfinished, pyarrow.parquet.ParquetWriter(unfinished, schema) as out:
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            out.write_table(pyarrow.Table.from_pylist(some, schema=schema))


def hub_features() -> list[dict[str, Any]]:
    """The rows' types for a dataset card: with them `datasets` reads every build alike, whatever is null in it."""
    import datasets

    features: list[dict[str, Any]] = datasets.Features.from_arrow_schema(_schema())._to_yaml_list()
    return features


def write_llama_factory(rows: Iterable[dict[str, Any]], folder: Path) -> None:
    """`rewright.jsonl` with dataset_info.json beside it, for `dataset: rewright` and `dataset_dir: FOLDER`."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{DATA_SET_NAME}.jsonl"
    with _whole(file) as unfinished, unfinished.open("wb") as out:
        out.writelines(_alpaca(row) for row in rows)
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    info = {DATA_SET_NAME: {"file_name": file.name, "formatting": "alpaca", "columns": columns}}
    with _whole(folder / "dataset_info.json") as unfinished:
        unfinished.write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


def _alpaca(row: dict[str, Any]) -> bytes:
    question, answer = row["prompt"][-1]["content"], row["completion"][-1]["content"]
    return as_line({"instruction": question, "input": "", "output": answer, "id": row["id"], "origin": row["origin"]})


def _link(grown: Path, file: Path) -> None:
    try:
        os.link(grown, file)
    except OSError:  # a file system without hard links
        with grown.open("rb") as rows, file.open("wb") as out:
            _copy(rows, out)


def _copy(rows: BinaryIO, out: BinaryIO) -> None:
    while chunk := rows.read(1 << 20):
        out.write(chunk)


@contextmanager
def _whole(file: Path) -> Iterator[Path]:
    """A path to write to, which becomes `file` at the end."""
    unfinished = file.with_name(file.name + UNFINISHED)
    unfinished.unlink(missing_ok=True)
    try:
        yield unfinished
        os.replace(unfinished, file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RunFolderError(
            f"cannot write {file}: {error.strerror or error}; all rows are kept. Make room and run the same command "
            "again"
        ) from error


def _schema() -> "pyarrow.Schema":
    import pyarrow as pa

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    signals = pa.struct(
        [("n_tokens", pa.int64()), ("length_ratio", pa.float64()), ("repeated", pa.float64()), ("copied", pa.float64())]
    )
    components = [
        ("gate", pa.string()),
        *((name, pa.int64()) for name in ("r_task", "v_ans", "v_rea")),
        *((name, pa.float64()) for name in ("nll", "nll_z", "r_dist", "r_div", "total")),
        ("signals", signals),
    ]
    attempt = [("step", pa.string()), ("text", pa.string()), ("n_tokens", pa.int64()), ("finish_reason", pa.string())]
    texts = [(name, pa.string()) for name in ("reference", "answer", "source")]
    provenance = pa.struct([(name, pa.string()) for name in ("method", "backbone", "adapter", "service", "corpus")])
    return pa.schema(
        [
            ("id", pa.string()),
            ("prompt", messages),
            ("completion", messages),
            ("origin", pa.string()),
            *components,
            ("n_tokens", pa.int64()),
            ("reference_nll", pa.float64()),
            ("reference_n_tokens", pa.int64()),
            ("attempts", pa.list_(pa.struct([*attempt, ("scores", pa.struct(components))]))),
            ("k", pa.int64()),
            ("tokens_written", pa.int64()),
            *texts,
            ("provenance", provenance),
        ]
    )
