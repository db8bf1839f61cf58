"""Which files a name means, and what kind each of them is: one file, a glob, or a folder of shards.

A folder gives the files of one kind in the order of their names. Where files or sub-folders are named after splits
(`train-00000-of-00002.parquet`, `test/`), those of the split asked for are taken. What `datasets` saves beside the data
(`dataset_info.json`, `state.json`, `dataset_dict.json`) is none of it.
"""

import codecs
import glob
import re
from pathlib import Path
from typing import NamedTuple

from rewright.clients.rows.json_rows import UnreadableData

KINDS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".parquet": "parquet", ".arrow": "arrow",
}  # fmt: skip
PACKED = (".gz", ".zst", ".bz2", ".xz")
_NO_DATA = {"dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json"}
_SPLITS = {
    "train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip
_WORD = re.compile(r"(?<![a-z])(" + "|".join(_SPLITS) + r")(?![a-z])")


class DataFile(NamedTuple):
    """kind: one of `KINDS`; packing: one of `PACKED`, or empty."""

    path: Path
    kind: str
    packing: str


def data_files(name: str, *, split: str) -> list[DataFile]:
    """In the order in which they are read. Raises `UnreadableData` where there are none, or no telling which."""
    path = Path(name).expanduser()
    if path.is_file():
        return [_known(path)]
    if path.is_dir():
        return _of_folder(path, name, split)
    found = sorted(glob.glob(str(path), recursive=True))
    files = [_known(Path(one)) for one in found if Path(one).is_file()]
    if not files:
        raise UnreadableData(f"there is no file {name!r}")
    return _of_one_kind(files, name)


def _of_folder(folder: Path, name: str, split: str) -> list[DataFile]:
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and _is_data(p, folder)]
    if not paths:
        raise UnreadableData(f"{name}: there is no data in this folder; it may hold {', '.join(KINDS)}")
    splits = {path: _split_of(path.relative_to(folder)) for path in paths}
    named = {of for of in splits.values() if of}
    if named:
        wanted = _SPLITS.get(split, split)
        if wanted not in named:
            raise UnreadableData(f"{name}: there is no split {split!r}; there are {', '.join(sorted(named))}")
        if other := next((path for path, of in splits.items() if of is None), None):
            raise UnreadableData(f"{name}: {other.name} is of no split, as others are; name the files with a glob")
        paths = [path for path in paths if splits[path] == wanted]
    return _of_one_kind([_known(path) for path in paths], name)


def _is_data(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    return not hidden and path.name not in _NO_DATA and _kind_of(path)[0] is not None


def _split_of(path: Path) -> str | None:
    """Told by a word of a folder's or the file's name: `test/`, `train-00000-of-00002`, `gsm8k-validation`."""
    for part in path.parts:
        if word := _WORD.search(part.lower()):
            return _SPLITS[word[0]]
    return None


def _of_one_kind(files: list[DataFile], name: str) -> list[DataFile]:
    if len(kinds := {file.kind for file in files}) > 1:
        raise UnreadableData(f"{name}: files of several kinds ({', '.join(sorted(kinds))}); name one with a glob")
    return files


def _known(path: Path) -> DataFile:
    kind, packing = _kind_of(path)
    if kind is None and not packing:
        kind = _kind_by_content(path)
    if kind is None:
        raise UnreadableData(
            f"{path.name}: none of {', '.join(KINDS)} (also {', '.join(PACKED)}); convert or rename it"
        )
    if packing and kind in ("parquet", "arrow"):
        raise UnreadableData(f"{path.name}: {kind} is packed within; unpack the file")
    return DataFile(path, kind, packing)


def _kind_by_content(path: Path) -> str | None:
    """Of a file whose name tells nothing."""
    try:
        with path.open("rb") as file:
            beginning = file.read(4096)
    except OSError as error:
        raise UnreadableData(f"cannot read {path.name}: {error.strerror}") from None
    if beginning.startswith((b"PAR1", b"ARROW1")):
        return "parquet" if beginning.startswith(b"PAR1") else "arrow"
    text = beginning.removeprefix(codecs.BOM_UTF8).lstrip()
    return "json" if text.startswith((b"{", b"[")) else None


def _kind_of(path: Path) -> tuple[str | None, str]:
    packing = path.suffix.lower() if path.suffix.lower() in PACKED else ""
    suffix = (path.with_suffix("") if packing else path).suffix.lower()
    return KINDS.get(suffix), packing
