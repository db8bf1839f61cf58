"""The questions of an evaluation: read, freed of mathematics where the benchmark is a general one, drawn, and asked.

Promises: the same file, draw and seed give the same questions in the same order, whatever model is asked; what is left
out is counted by reason (`mathematics` in a general benchmark, appendix C.3; `not_drawn`); a benchmark of another name
is asked and reported, but enters no average. Names are compared without case, spaces and signs: `MATH-500` is Math500.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.reading import read_rows
from rewright.trainer.data.prompts import Prompt
from rewright.trainer.data.split import place_in_draw
from rewright.trainer.errors import CorpusError
from rewright.trainer.evaluate.stated import LETTERS

Suite = Literal["math", "general", "other"]
MATH = ("AMC23", "AGIEval-Math", "IMO-AnswerBench", "Math500", "MinervaMath")
GENERAL = ("MMLU", "MMLU-Pro", "AGIEval-nonmath")
_ALIASES = {
    "imo": "IMO-AnswerBench", "imobench": "IMO-AnswerBench", "agimath": "AGIEval-Math", "math500": "Math500",
    "minerva": "MinervaMath", "amc2023": "AMC23", "agieval": "AGIEval-nonmath", "agi": "AGIEval-nonmath",
    "agievalgeneral": "AGIEval-nonmath",
}  # fmt: skip
_MATHEMATICS = {
    "MMLU": {
        "abstractalgebra", "collegemathematics", "elementarymathematics", "highschoolmathematics",
        "highschoolstatistics",
    },
    "MMLU-Pro": {"math", "mathematics"},
    "AGIEval-nonmath": {"aquarat", "gaokaomathcloze", "gaokaomathqa", "math", "satmath"},
}  # fmt: skip
"""Subjects of general benchmarks that are mathematics (appendix C.3), as `_plain` spells them."""


@dataclass(frozen=True)
class Question:
    """options: texts in the order of their letters, or None; answer: a letter where there are options."""

    id: str
    benchmark: str
    subject: str | None
    question: str
    options: tuple[str, ...] | None
    answer: str

    @property
    def suite(self) -> Suite:
        return "math" if self.benchmark in MATH else "general" if self.benchmark in GENERAL else "other"


@dataclass(frozen=True)
class Questions:
    asked: list[Question]
    left_out: dict[str, int]
    sha256: str


def read_questions(path: Path, *, per_benchmark: int | None, seed: int) -> Questions:
    """Raises `CorpusError` naming the line and the field of a row that is no question, and for a file without any."""
    if not path.is_file():
        raise CorpusError(f"data: there is no file {str(path)!r}")
    by_benchmark: dict[str, list[Question]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    for number, row in enumerate(_rows(path), start=1):
        question = _question(row, f"{path.name}, row {number}", number)
        if question.id in seen:
            raise CorpusError(f"{path.name}, row {number}: the id {question.id!r} is there twice; ids must be unique")
        seen.add(question.id)
        if _plain(question.subject or "") in _MATHEMATICS.get(question.benchmark, ()):
            left_out["mathematics"] += 1
        else:
            by_benchmark[question.benchmark].append(question)
    asked: list[Question] = []
    for rows in by_benchmark.values():
        drawn = sorted(rows, key=lambda q: place_in_draw(_hash(q), seed=seed))[:per_benchmark]
        left_out["not_drawn"] += len(rows) - len(drawn)
        asked += drawn
    if not asked:
        raise CorpusError(f"{path.name}: there are no questions in it; left out: {dict(left_out) or 'none'}")
    digest = hashlib.sha256("".join(map(_hash, asked)).encode()).hexdigest()
    return Questions(asked, {reason: n for reason, n in left_out.items() if n}, f"sha256:{digest}")


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        yield from (row.values for row in read_rows(str(path)))
    except UnreadableData as error:
        raise CorpusError(f"data: {error.message}") from None


def prompt_of(question: Question, *, math: Prompt, choice: Prompt) -> str:
    if question.options is None:
        return math.fill(question=question.question)
    return choice.fill(question=question.question, options=option_lines(question))


def option_lines(question: Question) -> str:
    """The options as they are asked, each with its letter on a line of its own."""
    return "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, question.options or (), strict=False))


def known_name(name: str) -> str:
    """The benchmark's name as this project writes it; the given one where it is unknown."""
    by_plain = {_plain(known): known for known in (*MATH, *GENERAL)} | _ALIASES
    return by_plain.get(_plain(name), name)


def _question(row: Mapping[str, Any], place: str, number: int) -> Question:
    for field in ("benchmark", "question", "answer"):
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise CorpusError(f"{place}: {field!r} must be a text that is not blank")
    options = row.get("options")
    answer = row["answer"].strip()
    if options is not None:
        if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
            raise CorpusError(f"{place}: 'options' must be null, or a list of 2 to {len(LETTERS)} texts")
        if not all(isinstance(option, str) for option in options):
            raise CorpusError(f"{place}: 'options' must hold texts alone")
        answer = answer.strip("().").upper()
        if answer not in LETTERS[: len(options)] or len(answer) != 1:
            raise CorpusError(f"{place}: 'answer' must be the letter of one of the {len(options)} options")
        options = tuple(_unlettered(options))
    subject = row.get("subject")
    return Question(
        id=str(row.get("id", f"row-{number}")),
        benchmark=known_name(row["benchmark"].strip()),
        subject=subject if isinstance(subject, str) else None,
        question=row["question"],
        options=options,
        answer=answer,
    )


def _unlettered(options: Sequence[str]) -> list[str]:
    """Options without letters of their own, where each one has its own: `(A) 5`, `B. 7`."""
    found = [re.match(rf"\s*\(?{letter}[).:]\s*", text) for letter, text in zip(LETTERS, options, strict=False)]
    if not all(found):
        return [text.strip() for text in options]
    return [text[mark.end() :].strip() for mark, text in zip(found, options, strict=True) if mark]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _hash(question: Question) -> str:
    content = [question.benchmark, question.question, question.options, question.answer]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
