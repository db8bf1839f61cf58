"""Every kind of file gives the same rows, and what cannot be read is named with its place."""

import bz2
import gzip
import json
import lzma

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from rewright.clients.rows.columns import value_at
from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.reading import read_rows

ROWS = [{"problem": "Wie viel ist 2·3?", "solution": "6, „sechs“\nalso 6"}, {"problem": "x\u2028y", "solution": "1"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
TABLE = pyarrow.Table.from_pylist(ROWS)


def zstd(content):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as out:
        out.write(content)
    return sink.getvalue().to_pybytes()


def arrow(new):
    sink = pyarrow.BufferOutputStream()
    with new(sink, TABLE.schema) as out:
        out.write_table(TABLE)
    return sink.getvalue().to_pybytes()


def parquet():
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(TABLE, sink)
    return sink.getvalue().to_pybytes()


CSV = "\ufeffproblem,solution\r\n" + "".join(f'"{r["problem"]}","{r["solution"]}"\r\n' for r in ROWS)
FILES = {
    "a.jsonl": LINES,
    "bom.jsonl": b"\xef\xbb\xbf" + LINES + b"\n",
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.ndjson.bz2": bz2.compress(LINES),
    "a.jsonl.xz": lzma.compress(LINES),
    "a.jsonl.zst": zstd(LINES),
    "array.json": json.dumps(ROWS, indent=1).encode(),
    "bom.json": b"\xef\xbb\xbf" + json.dumps(ROWS).encode(),
    "array.json.zst": zstd(json.dumps(ROWS).encode()),
    "lines.json": LINES,
    "within.json": json.dumps({"version": "1", "data": ROWS}).encode(),
    "semicolons.csv": CSV.replace('","', '";"').replace("problem,", "problem;").encode(),
    "pretty.json": b"\n".join(json.dumps(row, indent=2).encode() for row in ROWS),
    "no-suffix": LINES,
    "array.txt": json.dumps(ROWS).encode(),
    "parquet": parquet(),
    "a.csv": CSV.encode(),
    "a.csv.gz": gzip.compress(CSV.encode(), mtime=0),
    "a.tsv": CSV.replace('","', '"\t"').replace("problem,", "problem\t").encode(),
    "a.parquet": parquet(),
    "file.arrow": arrow(pyarrow.ipc.new_file),
    "stream.arrow": arrow(pyarrow.ipc.new_stream),
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    rows = list(read_rows(str(tmp_path / name)))
    assert [dict(row.values) for row in rows] == ROWS and [row.number for row in rows] == [0, 1]
    assert all(row.place.startswith(name) for row in rows)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "line 2: no JSON"),
        ("a.jsonl", b'{"a": 1}\n\n[1]\n', "line 3: no JSON object"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', "line 2: byte 8 is not UTF-8"),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), "UTF-16"),
        ("a.json", '[{"a": 1}]'.encode("utf-16"), "UTF-16"),
        ("a.jsonl", b'{"a": ' + b"[" * 100_000, "too deep"),
        ("a.json", b"[" * 100_000, "no JSON|within"),
        ("a.json", b'[{"a": 1}, {"a": ', "no JSON"),
        ("a.json", b'[{"a": "\xff"}]', "byte 9 is not UTF-8"),
        ("a.json", b'["text"]', "row 1: no JSON object"),
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "line 3: 3 cells under 2 columns"),
        ("a.csv", b"a,a\n1,2\n", "two columns"),
        ("a.csv", b"a,b\n1,\xe9\n", "line 2: byte 3 is not UTF-8"),
        ("a.jsonl.gz", gzip.compress(LINES, mtime=0)[:-10], "whole"),
        ("a.jsonl.gz", LINES, "cannot be unpacked"),
        ("a.jsonl.zst", LINES, "a.jsonl.zst"),
        ("a.parquet", b"nonsense", "no Parquet"),
        ("a.arrow", b"nonsense", "no Arrow"),
        ("a.parquet.gz", b"", "packed within"),
        ("a.txt", b"", "none of"),
        ("a.jsonl", b"x" * ((1 << 26) + 1), "longer than 64 MiB"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableData, match=said):
        list(read_rows(str(tmp_path / name)))


def test_arrays_are_read_whatever_the_places_where_their_pieces_end(tmp_path, monkeypatch):
    from rewright.clients.rows import json_rows

    rows = [{"n": n, "text": "é" * n} for n in range(60)]
    (tmp_path / "a.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    for size in (1, 2, 7, 64):
        monkeypatch.setattr(json_rows, "_CHUNK", size)
        assert [dict(row.values) for row in read_rows(str(tmp_path / "a.json"))] == rows


def test_rows_that_are_lists_have_numbers_for_columns(tmp_path):
    (tmp_path / "orz.json").write_text(json.dumps([[{"value": "q"}, {"ground_truth": {"value": "4"}}]]))
    (row,) = read_rows(str(tmp_path / "orz.json"))
    assert value_at(row.values, "0.value") == "q" and value_at(row.values, "1.ground_truth.value") == "4"


def shards(folder, names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps({"n": number}) + "\n")


def numbers(name, **options):
    return [row.values["n"] for row in read_rows(str(name), **options)]


def test_folders_and_globs_of_shards(tmp_path):
    shards(tmp_path, ["a-1.jsonl", "a-2.jsonl", "b-3.jsonl", "_tmp.jsonl", "README.md"])
    assert numbers(tmp_path) == [0, 1, 2] and numbers(tmp_path / "a-*.jsonl") == [0, 1]
    with pytest.raises(UnreadableData, match="no file"):
        numbers(tmp_path / "c-*.jsonl")
    shards(tmp_path, ["c.json"])
    with pytest.raises(UnreadableData, match="several kinds"):
        numbers(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableData, match="no data in this folder"):
        numbers(tmp_path / "empty")


def test_splits_of_a_folder_are_never_mixed(tmp_path):
    shards(tmp_path, ["data/test-0.jsonl", "data/train-0-of-2.jsonl", "data/train-1-of-2.jsonl", "dev/a.jsonl"])
    assert numbers(tmp_path) == [1, 2] and numbers(tmp_path, split="test") == [0]
    assert numbers(tmp_path, split="validation") == [3]
    with pytest.raises(UnreadableData, match="no split 'extra'"):
        numbers(tmp_path, split="extra")
    shards(tmp_path / "cached", ["gsm8k-train.jsonl", "gsm8k-test.jsonl", "gsm8k-val.jsonl"])
    assert numbers(tmp_path / "cached") == [0] and numbers(tmp_path / "cached", split="test") == [1]
    shards(tmp_path / "cached", ["more.jsonl"])
    with pytest.raises(UnreadableData, match=r"more.jsonl is of no split"):
        numbers(tmp_path / "cached")


def test_what_datasets_saves_is_read(tmp_path):
    import datasets

    whole = datasets.Dataset.from_list([{"n": n} for n in range(7)])
    whole.save_to_disk(str(tmp_path / "one"), num_shards=2)
    datasets.DatasetDict({"train": whole, "test": whole.select([3])}).save_to_disk(str(tmp_path / "dict"))
    assert numbers(tmp_path / "one") == list(range(7)) == numbers(tmp_path / "dict")
    assert numbers(tmp_path / "dict", split="test") == [3]


def test_a_hub_that_is_away_is_said(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnreadableData, match="cannot read split 'train' from the hub"):
        list(read_rows("hub:nobody/nothing"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("plain", 1),
        ("with.dot", 2),
        ("a.b", 3),
        ("list.0", "x"),
        ("list.-1", "y"),
        ("list.5", None),
        ("text.k.0", 7),
        ("plain.x", None),
        ("absent", None),
        ("broken.x", None),
    ],
)
def test_dotted_paths(path, value):
    row = {"plain": 1, "with.dot": 2, "a": {"b": 3}, "list": ["x", "y"], "text": '{"k": [7]}', "broken": "{x"}
    assert value_at(row, path) == value
