"""What the page shows, from the files that people have: one form for all of them.

Reads (by `rewright.clients.rows`): answers of /v1/reward and lines of `rewright score`, with the groups that were
posted beside them for the texts; groups alone; TRL's completion logs (a Parquet file a step) with the columns of our
reward function; rows of a dataset build, with y* as what they were before. A component that a file does not hold is
left out: "not known", never 0.

Not covered: two data sets side by side (`rewright.clients.view.data_sets`), arithmetic (`page/rule.js`), HTML
(`rewright.clients.view.page`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rewright.clients.rows.reading import read_rows
from rewright.clients.view.data_sets import finite, line_of
from rewright.service.errors import InvalidRequest

Values = Mapping[str, Any]

_OF_GROUP = ("id", "problem", "reference", "answer", "nll_mean", "nll_std", "diversity", "feasible", "failed")
_COMPONENTS = ("total", "r_task", "v_ans", "v_rea", "nll", "nll_dist", "nll_z", "r_dist", "r_div")
_OF_ITEM = ("status", "gate", "error", "scores", "signals", "tokens", "extracted", "score", "rationale", *_COMPONENTS)
_SIGNALS = ("n_tokens", "length_ratio", "repeated", "copied")
KNOWN = (
    "answers of /v1/reward, lines of `rewright score`, groups with candidates, TRL's completion logs with rewright's "
    "columns, and rows of a dataset build"
)


def document(source: str, *, groups: str | None = None, rule: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is shown of a file or folder. groups: another, with the texts by group id; rule: by which totals were made.

    Raises `InvalidRequest` for rows of no known form, and for texts that do not belong to the scores.
    """
    texts = {str(values.get("id")): values for _, values in _rows(groups)} if groups else {}
    found = list(_groups(source, texts))
    if not found:
        raise InvalidRequest(f"{source} holds no rows")
    return {"title": source, "rule": dict(rule) if rule else None, "groups": found}


def _groups(source: str, texts: Mapping[str, Values]) -> Iterable[dict[str, Any]]:
    rollouts: dict[tuple[Any, str], dict[str, Any]] = {}
    for number, (place, values) in enumerate(_rows(source)):
        candidates = values.get("candidates")
        if isinstance(candidates, list) and candidates:
            yield _scored(values, texts, place, number)
        elif "completion" in values and ("outcome" in values or "rewright" in values):
            key = (values.get("step"), _text(values.get("prompt")))
            group = rollouts.setdefault(key, _rollout_group(values, len(rollouts)))
            group["candidates"].append(_rollout(values))
        elif "completion" in values and "origin" in values:
            yield _built(values, number)
        else:
            raise InvalidRequest(f"{place}: neither candidates nor a completion with its reward; there are {KNOWN}")
    yield from rollouts.values()


def _rows(source: str) -> Iterator[tuple[str, Values]]:
    """(place, row); a request's or an answer's groups are rows of their own."""
    for row in read_rows(source):
        inside = row.values.get("groups")
        for group in inside if isinstance(inside, list) else [row.values]:
            yield row.place, group if isinstance(group, Mapping) else {}


def _scored(values: Values, texts: Mapping[str, Values], place: str, number: int) -> dict[str, Any]:
    name = str(values.get("id", number))
    posted = texts.get(name, values)
    written = posted.get("candidates")
    group = {key: posted.get(key, values.get(key)) for key in _OF_GROUP} | {"id": name, "step": values.get("step")}
    group |= {key: values[key] for key in ("nll_mean", "nll_std", "diversity", "feasible", "failed") if key in values}
    items = values["candidates"]
    group["similarities"] = _similarities(values.get("similarities"), len(items))
    if written is not items and isinstance(written, list) and len(written) != len(items):
        raise InvalidRequest(
            f"{place}: {len(items)} scores, and {len(written)} texts under the id {name!r}; name the groups that "
            "were scored"
        )
    group["candidates"] = [
        _item(item, written[k] if written is not items and isinstance(written, list) else None)
        for k, item in enumerate(items)
    ]
    return {key: value for key, value in group.items() if value is not None}


def _similarities(told: Any, count: int) -> list[Any] | None:
    """Of /v1/diversity, `count` rows of `count` cosines; None for a column of that name that holds something else."""
    if not isinstance(told, list) or len(told) != count:
        return None
    rows = [[finite(value) for value in row] if isinstance(row, list) else None for row in told]
    known = [row for row in rows if row is not None]
    fits = all(len(row) == count and all(-1 <= value <= 1 for value in row if value is not None) for row in known)
    return rows if known and fits else None


def _item(item: Any, text: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping) or "status" not in item:
        return {"text": _text(item), "status": "text"}
    shown = {key: item[key] for key in _OF_ITEM if item.get(key) is not None}
    return shown | {"text": None if text is None else _text(text)}


def _rollout_group(values: Values, number: int) -> dict[str, Any]:
    known = {key: values[key] for key in ("problem", "reference", "answer") if values.get(key) is not None}
    return {"id": f"step {values.get('step')}, group {number}", "step": values.get("step"), "candidates": []} | {
        "problem": _text(values.get("prompt")),
        **known,
    }


def _rollout(values: Values) -> dict[str, Any]:
    total = finite(values.get("rewright"))
    outcome = values.get("outcome")
    item: dict[str, Any] = {key: number for key in _COMPONENTS if (number := finite(values.get(key))) is not None}
    item |= {
        "text": _text(values.get("completion")),
        "signals": {},
        "status": "scored" if total is not None else "failed",
    }
    item["signals"] = {key: number for key in _SIGNALS if (number := finite(values.get(key))) is not None}
    if total is None:
        return item | {"error": {"code": str(outcome or "unknown"), "message": "no reward", "retryable": False}}
    return item | {"total": total, "gate": str(outcome)} if outcome else item | {"total": total}


def _built(values: Values, number: int) -> dict[str, Any]:
    item = {key: values[key] for key in ("gate", *_COMPONENTS, "signals") if values.get(key) is not None}
    tried = [each for each in values.get("attempts") or [] if isinstance(each, Mapping)]
    others = [
        {"text": _text(each.get("text")), "status": "text", "origin": str(each.get("step", ""))} for each in tried
    ]
    kept = item | {
        "text": _text(values.get("completion")),
        "status": "scored" if "total" in item else "text",
        "origin": str(values.get("origin")),
    }
    group = {"id": str(values.get("id", number)), "problem": _text(values.get("prompt")), "candidates": [kept, *others]}
    if values.get("reference") is None:
        return group
    before = {"text": _text(values["reference"]), "nll": finite(values.get("reference_nll"))}
    return group | {"before": before, "line": line_of(values)}


def _text(value: Any) -> str:
    """Of a text, or the last of a list of messages."""
    if isinstance(value, list):
        value = value[-1] if value else ""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else "" if value is None else str(value)
