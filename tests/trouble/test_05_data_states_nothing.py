"""5. A serialised structure with the gold among its values is data, not an answer; prose beside it still counts."""

import asyncio

import pytest

from rewright.service.mathematics.answers.extraction import find_answer
from rewright.service.mathematics.answers.serialised import without_data
from rewright.service.schema import Group
from rewright.service.scorers.verify.scorer import AnswerVerifier

DATA = [
    '{"a": 41, "b": 42}',
    '{"answer": 42}',
    '{"steps": ["6*7"], "answer": "42"}',
    '{"b": "The answer is 42."}',
    '{"text": "so $\\\\boxed{42}$"}',
    "{'answer': 42, 'other': None}",
    '["The answer is 42."]',
    '[{"value": 41}, {"value": 42}]',
    "['41', '42']",
    '```json\n{"answer": 42}\n```',
    "```yaml\nanswer: 42\n```",
    "```json\n[41, 42]",
    "answer: 42\nconfidence: high",
    "- a: 41\n- b: 42",
    "values:\n  first: 41\n  last: 42\n",
    'The result is {"answer": 42}.',
    'Here you are: {"guess": 41, "answer": 42',
    "{a: 41, b: 42}",
    "{answer: 42}",
    "{None: 42}",
    "items:\n  - 41\n  - 42\n",
    "# values\na: 41\nb: 42",
    "[values]\na = 41\nb = 42\n",
    "```python\na = 41\nb = 42\n```",
    "```js\nconst answer = 42;\n```",
]

ANSWERS = [
    "The answer is 42.",
    "$\\boxed{42}$",
    "Answer: 42",
    "answer = 42",
    "final_answer: 42",
    "Six times seven.\nAnswer: 42",
    'With {"a": 6, "b": 7} in hand, the answer is 42.',
    '```json\n{"a": 6}\n```\nSo the answer is 42.',
    "Step 1: 6 times 7.\nStep 2: that is 42.\nThe answer is 42.",
    "x = 6 * 7\nx = 42",
    "```python\nprint(6 * 7)\n```\nThe answer is 42.",
    "# Solution\nSix times seven.\nanswer: 42",
    "```\n42\n```",
]


@pytest.fixture(scope="module")
def verifier():
    opened = AnswerVerifier(workers=1, cpu_s=5.0, memory_mb=1024, queue=1000)
    asyncio.run(opened.open())
    yield opened
    asyncio.run(opened.close())


def verdicts(verifier, gold, candidates):
    (result,) = asyncio.run(verifier.score([Group(id="g", answer=gold, candidates=candidates)]))
    return {text: item.verdict for text, item in zip(candidates, result.candidates, strict=True)}


def test_no_value_of_a_structure_is_credited(verifier):
    for gold in ("42", "41"):
        told = verdicts(verifier, gold, DATA)
        assert not [text for text, verdict in told.items() if verdict == "correct"]


def test_what_prose_states_beside_it_is(verifier):
    told = verdicts(verifier, "42", ANSWERS)
    assert not [text for text, verdict in told.items() if verdict != "correct"]


@pytest.mark.parametrize(
    ("gold", "candidate"),
    [
        (r"\{1, 2\}", r"$\boxed{\{1,2\}}$"),
        ("[0,1]", "[0, 1]"),
        ("(1,2)", "The answer is (1, 2)."),
        ("1,2,3", "[1, 2, 3]"),
        ("x", "{x : x > 0}"),
        ("x", "{1, 2, 3}"),
        ("3:4", "3:4"),
    ],
)
def test_mathematics_is_no_data(candidate, gold):
    assert without_data(candidate) == candidate and find_answer(candidate) is not None and gold


@pytest.mark.parametrize(
    "piece",
    [
        '{"a": ',
        '{"a": "',
        "{'a':",
        '["',
        "a: 1\n",
        "{a:",
        "{a: 1,",
        "a: - 1\n- 2\n",
        "[a]\nb = 1\n",
        "```c ",
        "```json\n",
        '{"a": {"b": 1}, ',
        '"":',
    ],
)
def test_reading_is_linear(piece):
    """Eight times the text takes about eight times the steps, counted as calls and lines and not in seconds."""
    import sys

    def steps(text: str) -> int:
        count = 0

        def trace(frame, event, arg):
            nonlocal count
            count += 1
            return trace

        sys.settrace(trace)
        try:
            without_data(text)
        finally:
            sys.settrace(None)
        return count

    short, long = steps(piece * 200), steps(piece * 1600)
    assert long <= 12 * short + 1000
