"""A data set before and after, row beside row: two files of any layout, or the rows of one build.

Promises: rows meet by their `id`, or by their problem where a row has none, the second of equal ones with the second;
each row of the file after is kept beside as the JSON line that it would be saved as, with every number as it was read.
A row that holds no problem with its solution is left out and counted, and so is one that stands in the file before
alone.

Not covered: which rows to keep (whoever looks decides it in the page), conversations of several turns.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rewright.clients.rows.layouts import Layout, fitting_layouts, layout_named, record_of
from rewright.clients.rows.reading import read_rows
from rewright.service.errors import InvalidRequest

Values = Mapping[str, Any]


class Pair(NamedTuple):
    """One row: its problem and solution as its layout reads them. nll: eq. 6 in nats per token, None where unknown."""

    problem: str
    solution: str
    nll: float | None
    values: Values


def compared(before: str, after: str) -> dict[str, Any]:
    """What is shown of two files, in the order of the one after.

    Raises `InvalidRequest` for rows of no known layout, and for two files without a row in common.
    """
    earlier, left_out = _by_name(before)
    later, also_left_out = _by_name(after)
    if not earlier.keys() & later.keys():
        raise InvalidRequest(
            f"{before} and {after} have no row in common: give both the same ids, or leave ids out so that rows meet "
            "by their problems"
        )
    groups = [_group(name, row, earlier.get((name, count))) for (name, count), row in later.items()]
    told = {"only_before": len(earlier.keys() - later.keys()), "left_out": left_out + also_left_out}
    return {"title": f"{before} → {after}", "rule": None, "groups": groups, "data_set": told}


def line_of(values: Values) -> str:
    """The row as one line of JSON; what is no number is null, and a value that JSON does not know its text."""
    return json.dumps(_jsonable(values), ensure_ascii=True, allow_nan=False, default=str)


def _group(name: str, row: Pair, earlier: Pair | None) -> dict[str, Any]:
    kept: dict[str, Any] = {"text": row.solution, "status": "text"} | _known(
        nll=row.nll, origin=row.values.get("origin")
    )
    group: dict[str, Any] = {"id": name, "problem": row.problem, "candidates": [kept], "line": line_of(row.values)}
    reference_nll = finite(row.values.get("reference_nll"))
    if earlier is not None:
        nll = reference_nll if earlier.nll is None else earlier.nll
        group["before"] = {"text": earlier.solution} | _known(nll=nll)
    return group


def _by_name(source: str) -> tuple[dict[tuple[str, int], Pair], int]:
    """The rows by (id or problem, how many of the same came before), and how many hold none."""
    found: dict[tuple[str, int], Pair] = {}
    seen: Counter[str] = Counter()
    left_out = 0
    for values, row in _pairs(source):
        if row is None:
            left_out += 1
            continue
        name = row.problem if values.get("id") is None else str(values["id"])
        found[name, seen[name]] = row
        seen[name] += 1
    return found, left_out


def _pairs(source: str) -> Iterator[tuple[Values, Pair | None]]:
    layout = None
    for row in read_rows(source):
        layout = layout or _layout(row.place, row.values)
        record = record_of(layout, row.values)
        whole = bool(record.problem and record.solution)
        nll = finite(row.values.get("nll"))
        yield row.values, Pair(record.problem, record.solution, nll, row.values) if whole else None


def _layout(place: str, values: Values) -> Layout:
    """Of all rows, by the first."""
    for solution in ("reference", "solution"):
        if {"problem", solution} <= values.keys():
            return layout_named("columns", solution=solution)
    if fits := [name for name in fitting_layouts(values) if layout_named(name).holds_solutions]:
        return layout_named(fits[0])
    raise InvalidRequest(
        f"{place}: no problem with its solution; a data set has the columns problem and solution, prompt and "
        "completion, messages, or those of a published layout (docs/data.md)"
    )


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def finite(value: Any) -> float | int | None:
    """A finite number, or None: tables write NaN for what is absent."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if known else None
