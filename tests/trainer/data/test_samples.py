"""Layouts, columns, and files that are not what they should be."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from rewright.trainer.data.samples import LeftOut, Sample, hash_of, read_all, read_samples, read_source, write_samples
from rewright.trainer.errors import CorpusError
from rewright.trainer.recipes.blocks import Source


def write(path, rows):
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["data.jsonl", "data.parquet"])
def test_columns_are_mapped(tmp_path, name):
    path = write(tmp_path / name, [{"q": " 1+1? ", "s": "2", "a": 2}, {"q": "2+2?", "s": "4", "a": 4}])
    first, second = read_source(Source(path=path, problem="q", solution="s", answer="a"))
    assert (first.problem, first.reference, first.answer) == ("1+1?", "2", "2")
    assert first.id == f"{name}#0" and second.id == f"{name}#1"


def test_numina_math_cot(tmp_path):
    row = {"source": "aops", "problem": "1+1?", "solution": "It is $\\boxed{2}$.", "messages": [{"role": "user"}]}
    (sample,) = read_source(Source(path=write(tmp_path / "n.jsonl", [row]), layout="numina_math_cot"))
    assert (sample.reference, sample.answer) == ("It is $\\boxed{2}$.", None)


def test_open_math_reasoning_keeps_chains_of_thought_with_an_answer(tmp_path):
    base = {"problem": "1+1?", "generated_solution": "2", "expected_answer": "2"}
    rows = [
        base | {"inference_mode": "cot", "problem_type": "has_answer_extracted"},
        base | {"inference_mode": "tir", "problem_type": "has_answer_extracted"},
        base | {"inference_mode": "cot", "problem_type": "converted_proof"},
    ]
    source = Source(path=write(tmp_path / "o.jsonl", rows), layout="open_math_reasoning")
    assert [s.answer for s in read_all(source)] == ["2"]
    assert [s.reason for s in read_source(source) if isinstance(s, LeftOut)] == ["other_kind", "no_answer"]


def test_limit_reads_no_further(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text('{"problem": "p", "solution": "s"}\nnot json\n', encoding="utf-8")
    assert len(list(read_source(Source(path=str(file), limit=1)))) == 1
    with pytest.raises(CorpusError, match="line 2"):
        list(read_source(Source(path=str(file))))


@pytest.mark.parametrize(
    ("name", "content", "options", "said"),
    [
        ("a.jsonl", '{"problem": "p", "text": "s"}', {}, "'solution'.*'problem', 'text'"),
        ("a.jsonl", '{"problem": "p", "solution": "s"}', {"answer": "gold"}, "'gold'"),
        ("a.jsonl", '{"problem": "p", "solution": "s"}', {"layout": "open_math_reasoning"}, "generated_solution"),
        ("a.jsonl", "", {}, "no rows"),
        ("a.jsonl", "[1]", {}, "no JSON object"),
        ("a.parquet", "nonsense", {}, "no Parquet"),
        ("a.csv", "a,b", {}, "no rows"),
        ("a.xls", "a", {}, "none of"),
        ("a.jsonl", '{"question": "q", "answer": "4"}', {}, "they fit layout: gsm8k"),
        ("a.jsonl", '{"problem": [{"role": "user", "content": "q"}], "solution": "s"}', {}, "lists of messages"),
        ("a.jsonl", '{"problem": "q", "solution": [1]}', {}, "none of its 1 rows can be used: 1 not_text"),
        ("a.jsonl", '{"problem": "q", "llama8b_solve_rate": 1, "answer": "4"}', {"layout": "big_math"}, "no solutions"),
        (None, None, {}, "no file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, options, said):
    path = tmp_path / (name or "absent.jsonl")
    if name is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(CorpusError, match=said):
        list(read_source(Source(path=str(path), **options)))


def test_rows_without_texts_come_back_with_their_reason(tmp_path):
    rows = [{"problem": None, "solution": "s"}, {"problem": "p", "solution": "  "}, {"problem": "p", "solution": "s"}]
    read = list(read_source(Source(path=write(tmp_path / "a.jsonl", rows))))
    assert [r.reason for r in read if isinstance(r, LeftOut)] == ["empty", "empty"] and isinstance(read[2], Sample)


def test_white_space_and_unicode_form_make_no_other_problem():
    one, two, three = (Sample("i", p, "r", None, "s") for p in ("What  is\n½ of 4?", "What is ½ of 4? ", "What is 4?"))
    assert one.problem_hash == two.problem_hash != three.problem_hash


def test_written_samples_read_back_and_hash_alike(tmp_path):
    samples = [Sample("1", "x\u2028y", "r\nr", None, "s"), Sample("2", "é", "r", "7", "s")]
    write_samples(tmp_path / "s.jsonl", samples)
    back = read_samples(tmp_path / "s.jsonl")
    assert back == samples and hash_of(back) == hash_of(samples) != hash_of(samples[::-1])
