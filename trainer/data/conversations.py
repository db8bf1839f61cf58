"""Rows of an SFT set, in whatever layout, as the turns before the response and the response.

Promises: a layout is told by the columns of the first row, or named; nobody's turn becomes somebody else's, and no turn
is dropped: earlier turns stay in context, and a row with tool calls or tool turns, or whose last turn is not the
assistant's, comes back with its reason (`tool_turns`, `not_assistant`, and those of `rewright.clients.rows`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rewright.clients.rows.json_rows import UnreadableData
from rewright.clients.rows.layouts import Layout, check_columns, fitting_layouts, layout_named, record_of
from rewright.clients.rows.messages import are_messages, conversation_of, turns_of
from rewright.clients.rows.reading import Row, read_rows
from rewright.trainer.errors import CorpusError

_TOLD_BY = {
    "prompt_completion": ("prompt", "completion"),
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "alpaca": ("instruction", "output"),
    "columns": ("problem", "solution"),
}
"""Columns that tell a layout beyond doubt, in the order in which they are looked for."""


class Example(NamedTuple):
    """prompt: turns with role and content, the last one before the response; reason: why it is of no use, or None."""

    name: str
    prompt: list[dict[str, str]]
    response: str
    reason: str | None
    row: Mapping[str, Any]


def examples(place: str, *, layout: str | None = None, split: str = "train") -> Iterator[Example]:
    """Read lazily. Raises `CorpusError` for what cannot be read and for columns of no known layout."""
    found: tuple[str, Layout] | None = None
    try:
        for row in read_rows(place, split=split):
            if found is None:
                name = layout or layout_of(row)
                found = name, layout_named(name)
                check_columns(place, name, found[1], row.values)
            own = row.values.get("id")
            identity = str(own) if isinstance(own, str | int) and own != "" else str(row.number + 1)
            yield Example(identity, *_turns(found[1], row.values), row.values)
    except UnreadableData as error:
        raise CorpusError(f"data.path: {error.message}") from None


def layout_of(row: Row) -> str:
    """The layout that the columns tell. Raises `CorpusError` where none or several would do."""
    for name, columns in _TOLD_BY.items():
        if all(column in row.values for column in columns):
            return name
    fits = fitting_layouts(row.values)
    if len(fits) == 1:
        return fits[0]
    there = ", ".join(map(repr, row.values))
    if fits:
        raise CorpusError(
            f"{row.place}: these columns fit several layouts, {', '.join(fits)}; set data.layout ({there})"
        )
    raise CorpusError(
        f"{row.place}: no known layout has the columns {there}; rename them to prompt and completion, or to messages"
    )


def _turns(layout: Layout, row: Mapping[str, Any]) -> tuple[list[dict[str, str]], str, str | None]:
    told = row.get(layout.problem)
    if not are_messages(told) or layout.solution is None:
        problem, solution, _, reason = record_of(layout._replace(answer=None), row)
        return [{"role": "user", "content": problem}], solution, reason
    rest: list[Any] = []
    if layout.solution != layout.problem:
        said = row.get(layout.solution)
        plain = isinstance(said, str) and not are_messages(said)
        rest = [{"role": "assistant", "content": said}] if plain else turns_of(said) or []
    messages, reason = conversation_of([*(turns_of(told) or []), *rest])
    if reason is None and (messages[-1].role != "assistant" or (not rest and layout.solution != layout.problem)):
        reason = "not_assistant"
    if reason is not None:
        return [], "", reason
    *before, last = messages
    return [message._asdict() for message in before], last.content, None
