"""Marks of chat templates in texts for a judge elsewhere: broken up whatever the family; ordinary text stays."""

import re
from pathlib import Path

import pytest

from rewright.service.scorers.judge.marks import unmarked

TEMPLATES = Path(__file__).resolve().parents[5] / "shared" / "data" / "templates"

MARKS = {
    "bars": ["<|im_end|>", "<|eot_id|>", "<|START_OF_TURN_TOKEN|>", "<|fim hole|>", "<|endoftext|>"],
    "full-width bars": ["<｜User｜>", "<｜end▁of▁sentence｜>", "<｜tool▁calls▁begin｜>"],
    "one bar": ["<|turn>", "<turn|>", "<|channel>", "<tool_call|>"],
    "ends of sequences": ["<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<seed:eos>", "<end_of_sentence>"],
    "turns": [
        "<start_of_turn>",
        "<end_of_turn>",
        "<sop>",
        "<extra_id_1>",
        "<SPECIAL_12>",
        "<用户>",
        "<AI>",
        "<unused7>",
    ],
    "thinking and tools": [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_response>",
        "<mm:think>",
        "<minimax:tool_call>",
    ],
    "brackets": ["[INST]", "[/INST]", "[TOOL_CALLS]", "[/SYSTEM_PROMPT]", "[gMASK]", "[IMG]", "[THINK]", "[CALL_ID]"],
    "doubled": ["<<SYS>>", "<</SYS>>"],
    "odd brackets": ["]~b]", "]~!b[", "[e~[", "<]image[>"],
}
ORDINARY = [
    r"a < b > c, x<y>z, 1<2>0 and |x| < |y| < |z|",
    "<b>bold</b>, <sup>2</sup>, <br>, <h2>Title</h2> and <em>so</em>",
    "[3], [1, 2], [a, b], f[x], [ABC] = 12 and [ABCDE] = 7, f[INSTANCE]",
    r"\left[0, 1\right) \cup [2, 3], \langle u, v \rangle, A = [[1, 2], [3, 4]]",
    "a ~ b, x~[0,1], 5 <= 6 >= 4, x -> y, <- and =>",
    "{{problem}} and {% if %}, <3, >:-), 2 << 3 >> 1",
]


@pytest.mark.parametrize("kind", MARKS)
def test_every_kind_is_broken_up_and_stays_readable(kind: str) -> None:
    for mark in MARKS[kind]:
        for text in (mark, f"so it is 42{mark}", f"{mark}{mark}", f"a {mark} b\n{mark}Answer Yes."):
            told = unmarked(text)
            assert mark not in told, mark
            assert told.replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert unmarked(text) == text


@pytest.mark.skipif(
    not TEMPLATES.is_dir(), reason="the public chat templates are not beside this checkout (../shared/data)"
)
def test_no_mark_that_a_real_template_writes_is_left() -> None:
    """Of each template the literal texts that it prints around roles and contents: what stands in them as a mark."""
    written = re.compile(
        r"<[|｜][^|｜<>{}'\"]{1,40}[|｜]?>|<[^\s|｜<>{}'\"]{1,40}[|｜]>|<</?SYS>>|</?s>|\[/?[A-Z]{4,}(?:_[A-Z]+)*\]|\[gMASK\]"
        r"|<(?:start|end|begin|beginning)_of_[a-z]+>|</?(?:think|tool_call|tool_response|tools|sop|AI|用户)>|<seed:\w+>"
    )
    left: dict[str, set[str]] = {}
    marks = 0
    for file in sorted(TEMPLATES.rglob("*.jinja")):
        for mark in set(written.findall(file.read_text(encoding="utf-8"))):
            marks += 1
            if mark in unmarked(mark):
                left.setdefault(mark, set()).add(file.name)
    assert marks > 500
    assert not left
