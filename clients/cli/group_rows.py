"""Rows of any layout as groups to score: lists of candidates, or one candidate a row put together by a key.

Promises: a candidate that is a list of messages is its last assistant turn; rows of one key that differ in problem,
reference or answer are named; a row of no use is counted with its reason, never scored as something else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rewright.clients.rows.columns import has_column, value_at
from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.layouts import Layout, layout_named, missing_columns, record_of
from rewright.clients.rows.messages import are_messages, conversation_of
from rewright.clients.rows.reading import Row, read_rows
from rewright.service.errors import InvalidRequest
from rewright.service.schema import Group

_REFERENCES = ("reference", "reference_solution", "solution")


@dataclass(frozen=True)
class Columns:
    """Where groups are in the rows: a layout's name, columns in place of its own, candidates, and what groups them."""

    layout: str | None = None
    problem: str | None = None
    reference: str | None = None
    answer: str | None = None
    candidates: str = "candidates"
    group_by: str | None = None
    split: str = "train"

    @property
    def are_given(self) -> bool:
        """Whether anything differs from the documented line of a group."""
        return self != Columns(split=self.split)


@dataclass
class GroupRows:
    """The groups of a source, read anew each time. left_out: reasons of the rows of no use, of the last reading."""

    name: str
    columns: Columns
    needs_reference: bool
    left_out: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[tuple[int, Group]]:
        """(number of the row from 1, group). Raises `InvalidRequest` naming the row."""
        self.left_out.clear()
        read = self._grouped() if self.columns.group_by else self._one_a_row()
        seen: dict[str, int] = {}
        for number, group in read:
            if group.id in seen:
                raise InvalidRequest(
                    f"{self.name}, row {number}: the id is that of row {seen[group.id]}; ids must be unique"
                )
            seen[group.id or ""] = number
            yield number, group

    def _one_a_row(self) -> Iterator[tuple[int, Group]]:
        for row, layout in self._rows():
            fields, candidates = self._fields(row, layout), self._candidates(row)
            if fields is None or candidates is None:
                continue
            own = row.values.get("id")
            name = str(own) if isinstance(own, str | int) and own != "" else f"line-{row.number + 1}"
            yield row.number + 1, Group(id=name, candidates=candidates, **fields)

    def _grouped(self) -> Iterator[tuple[int, Group]]:
        """Rows of one key need not stand side by side, so all are read before the first group is given."""
        groups: dict[str, tuple[int, dict[str, str | None], list[str]]] = {}
        for row, layout in self._rows():
            key = value_at(row.values, self.columns.group_by or "")
            if not isinstance(key, str | int) or key == "":
                raise InvalidRequest(f"{row.place}: {self.columns.group_by!r} is no text or number to group by")
            fields, candidates = self._fields(row, layout), self._candidates(row)
            if fields is None or candidates is None:
                continue
            number, first, together = groups.setdefault(str(key), (row.number + 1, fields, []))
            if first != fields:
                differ = next(name for name in first if first[name] != fields[name])
                raise InvalidRequest(
                    f"{row.place}: {differ} is not that of row {number}, which has the same {self.columns.group_by!r}; "
                    "rows of one group must agree"
                )
            together += candidates
        for key, (number, fields, together) in groups.items():
            yield number, Group(id=key, candidates=together, **fields)

    def _rows(self) -> Iterator[tuple[Row, Layout]]:
        layout = None
        for row in read_rows(self.name, split=self.columns.split):
            if layout is None:
                layout = self._layout(row.values)
            yield row, layout

    def _layout(self, first: Mapping[str, Any]) -> Layout:
        columns = self.columns
        if columns.layout is not None:
            layout = layout_named(
                columns.layout, problem=columns.problem, solution=columns.reference, answer=columns.answer
            )
        else:
            reference = columns.reference or next((c for c in _REFERENCES if has_column(first, c)), None)
            layout = Layout(
                columns.problem or "problem", reference, "answer", optional_answer=True, null_is_absent=True
            )
            if columns.answer is not None:
                layout = layout._replace(answer=columns.answer, optional_answer=False, null_is_absent=False)
        missing = missing_columns(layout, first)
        wanted = (columns.candidates, *([columns.group_by] if columns.group_by else []))
        missing += [c for c in wanted if not has_column(first, c)]
        if missing:
            raise UnreadableData(
                f"{self.name}: there is no column {', '.join(map(repr, missing))}; there are "
                f"{', '.join(map(repr, first))}; name them with --layout, --problem, --reference, --answer, "
                "--candidates and --group-by"
            )
        return layout

    def _fields(self, row: Row, layout: Layout) -> dict[str, str | None] | None:
        problem, solution, answer, reason = record_of(layout, row.values)
        reference = solution or None
        if reason is None and reference is None and (self.needs_reference or answer is None):
            raise InvalidRequest(
                f"{row.place}: there is no reference, which this rule needs; name its column with --reference, or set "
                "--reasoning off where every row has an answer"
            )
        if reason is not None:
            self.left_out[reason] += 1
            return None
        return {"problem": problem, "reference": reference, "answer": answer}

    def _candidates(self, row: Row) -> list[str] | None:
        """Reasons: `no_candidates`, `not_text`, and those of conversations."""
        value = value_at(row.values, self.columns.candidates)
        if isinstance(value, str) and self.columns.group_by is None:
            raise InvalidRequest(
                f"{row.place}: {self.columns.candidates!r} holds one text a row; name what puts rows together with "
                "--group-by"
            )
        members = value if isinstance(value, list) and not are_messages(value) else [value]
        texts: list[str] = []
        for member in members:
            text, reason = _text_of(member)
            if reason:
                self.left_out[reason] += 1
                return None
            texts.append(text)
        if not texts:
            self.left_out["no_candidates"] += 1
            return None
        return texts


def _text_of(candidate: Any) -> tuple[str, str | None]:
    if isinstance(candidate, str) and not are_messages(candidate):
        return candidate, None
    if are_messages(candidate):
        messages, reason = conversation_of(candidate)
        if reason is None and messages[-1].role != "assistant":
            reason = "no_answer_turn"
        return ("", reason) if reason else (messages[-1].content, None)
    return "", "not_text"
