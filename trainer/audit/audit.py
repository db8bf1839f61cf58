"""`rewright audit`: every row of an SFT set asked about, in a stream, into a folder that can be gone on with.

    settings.json    what the rows depend on        rows.jsonl    a line a row, growing in order
    report.html      what came out, with plots      audit.json    the same numbers for programs, written last

Promises: a row that cannot be used is counted with its reason; a killed audit goes on where it stood; memory grows by
some hundred bytes a row. Near-duplicates are rows whose problems are of one family (`rewright.trainer.data.families`);
the first of them counts as none.
"""

import heapq
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rewright.clients.http_client import RewardClient
from rewright.clients.rows.answers import gold_of
from rewright.clients.rows.columns import value_at
from rewright.trainer.audit.numbers import AuditNumbers, numbers_of
from rewright.trainer.audit.page import write_page
from rewright.trainer.audit.questions import Asked, Questions, Told
from rewright.trainer.data.contamination import Evaluations
from rewright.trainer.data.conversations import Example, examples
from rewright.trainer.data.families import family_hash
from rewright.trainer.data.split import place_in_draw
from rewright.trainer.data.whole_files import write_json
from rewright.trainer.errors import CorpusError
from rewright.trainer.runs.claimed_folder import ClaimedFolder
from rewright.trainer.runs.row_file import RowFile

BLOCK = 128
"""Rows that are asked about together, and written together."""
_DIVERSITY_TEXTS = 64
_SHOWN = 20
_SEED = 17


@dataclass(frozen=True)
class AuditSettings:
    """data: whatever the reader reads; answer: the column of golds where the layout has none; sample: so many rows at
    random; decontaminate: evaluation files."""

    data: str
    layout: str | None = None
    split: str = "train"
    answer: str | None = None
    sample: int | None = None
    decontaminate: tuple[str, ...] = ()


class AuditFolder(ClaimedFolder):
    kind = "audit"
    setting = "--out"
    record = "settings.json"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rows = path / "rows.jsonl"


class _Row:
    """One example on its way: what is known of it before the service is asked."""

    def __init__(self, number: int, example: Example, settings: AuditSettings, near: str | None, shared: str | None):
        self.number = number
        self.example = example
        self.reason = example.reason
        gold = value_at(example.row, settings.answer or "answer")
        self.gold = gold_of(gold).answer if gold is not None else None
        self.known = {"id": example.name, "row": number, "near_duplicate": near, "contaminated": shared}
        users = [turn for turn in example.prompt if turn["role"] == "user"]
        if self.reason is None and (not example.response.strip() or not users):
            self.reason = "empty"
        if self.reason is None and len(users) > 1:
            self.reason = "several_turns"
        if self.reason is None and settings.answer is not None and self.gold is None:
            self.reason = gold_of(gold).reason
        self.problem = users[-1]["content"] if users else ""

    def asked(self) -> Asked:
        return Asked(str(self.number), self.problem, self.example.response, self.gold)

    def line(self, told: Told | None) -> bytes:
        said = {"reason": self.reason} if told is None else told._asdict()
        content = {**self.known, **said, "characters": len(self.example.response)}
        return json.dumps(content, ensure_ascii=True).encode() + b"\n"


def audit(settings: AuditSettings, out: Path, *, client: RewardClient, filtered: Path | None = None) -> Path:
    """The report. filtered: a file for the rows without fault, as JSON lines of what the data holds.

    Raises `CorpusError` for data that cannot be read, `ServiceTrouble`, and `RunFolderError` for a folder of others.
    """
    folder = AuditFolder(out)
    with folder.lock():
        folder.claim_settings(json.loads(json.dumps(asdict(settings))))
        questions = Questions(client)
        with RowFile(folder.rows) as file:
            rows = islice(_rows(settings), file.rows, None)
            while block := list(islice(rows, BLOCK)):
                usable = [row for row in block if row.reason is None]
                told = dict(zip((r.number for r in usable), questions.about([r.asked() for r in usable]), strict=True))
                file.append(row.line(told.get(row.number)) for row in block)
        numbers = numbers_of(folder.rows, shown=_SHOWN)
        if not numbers.used:
            raise CorpusError(f"{settings.data}: none of its {numbers.rows} rows can be used: {dict(numbers.reasons)}")
        diversity, texts = _texts(settings, numbers, questions)
        if filtered is not None:
            _write_filtered(settings, folder.rows, filtered)
        write_json(out / "audit.json", numbers.as_json() | {"diversity": diversity, "settings": asdict(settings)})
        return write_page(out / "report.html", settings.data, numbers, diversity=diversity, texts=texts)


def _rows(settings: AuditSettings) -> Iterator[_Row]:
    evaluations = Evaluations(settings.decontaminate) if settings.decontaminate else None
    families: dict[bytes, str] = {}
    for number, example in _examples(settings):
        problem = example.prompt[-1]["content"] if example.prompt else ""
        near = None
        if problem.strip():
            key = bytes.fromhex(family_hash(problem))[:16]
            first = families.setdefault(key, example.name)
            near = first if first != example.name else None
        yield _Row(number, example, settings, near, evaluations.shared(problem) if evaluations else None)


def _examples(settings: AuditSettings) -> Iterator[tuple[int, Example]]:
    """With their row numbers from 1: all of them, or a sample that is the same at each reading."""
    read = enumerate(examples(settings.data, layout=settings.layout, split=settings.split), start=1)
    if settings.sample is None:
        yield from read
        return
    points = ((place_in_draw(f"row {number}", seed=_SEED), number) for number, _ in read)
    chosen = {number for _, number in heapq.nsmallest(settings.sample, points)}
    read = enumerate(examples(settings.data, layout=settings.layout, split=settings.split), start=1)
    yield from ((number, example) for number, example in read if number in chosen)


def _texts(
    settings: AuditSettings, numbers: AuditNumbers, questions: Questions
) -> tuple[float | None, dict[int, tuple[str, str]]]:
    """D over evenly spaced rows, and the texts of the rows that the page shows."""
    shown = {line["row"] for line in numbers.worst} | {
        line["row"] for lines in numbers.listed.values() for line in lines
    }
    every = max(1, -(-numbers.rows // _DIVERSITY_TEXTS))
    spaced: list[str] = []
    texts: dict[int, tuple[str, str]] = {}
    for place, (number, example) in enumerate(_examples(settings)):
        if place % every == 0 and example.response.strip():
            spaced.append(example.response)
        if number in shown:
            texts[number] = (example.prompt[-1]["content"] if example.prompt else "", example.response)
    return questions.diversity(spaced), texts


def _write_filtered(settings: AuditSettings, rows: Path, out: Path) -> None:
    with rows.open("rb") as lines, out.open("w", encoding="utf-8") as file:
        for line, (_, example) in zip(lines, _examples(settings), strict=True):
            if not faults_of(json.loads(line)):
                file.write(json.dumps(dict(example.row), ensure_ascii=False, default=str) + "\n")


def faults_of(line: dict[str, Any]) -> list[str]:
    """Why a filtered copy leaves a row out."""
    if line.get("reason"):
        return [str(line["reason"])]
    found = [f"answer {line['answer']}"] if line["answer"] in ("wrong", "no_answer", "undecided", "bad_gold") else []
    found += ["certain fault"] if line["fault"] else []
    found += [name for name in ("near_duplicate", "contaminated") if line[name]]
    return found
