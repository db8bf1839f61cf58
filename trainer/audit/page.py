"""The report of an audit as one HTML page with its plots inside. It alone quotes the user's own rows."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rewright.clients.view.page import report
from rewright.trainer.audit.numbers import QUANTILES, AuditNumbers, summary
from rewright.trainer.data.whole_files import write_text

_QUOTED = 600
_MEANINGS = {
    "answer wrong": "the response states another answer than its gold",
    "answer no_answer": "no final answer is found in the response",
    "answer undecided": "the verifier cannot tell",
    "answer bad_gold": "the gold cannot be read",
    "certain fault": "a false equation, next to no reasoning, or a refusal",
    "near_duplicate": "the problem is that of an earlier row but for names, numbers' writing and white space",
    "contaminated": "an evaluation question is in the problem",
}


def write_page(
    file: Path, name: str, numbers: AuditNumbers, *, diversity: float | None, texts: Mapping[int, tuple[str, str]]
) -> Path:
    """texts: (problem, response) by row, for the rows that are shown."""
    usable = [("rows", numbers.rows), ("rows of use", numbers.used)]
    left = [(f"left out: {reason}", count) for reason, count in numbers.reasons.most_common()]
    found = [
        (f"{fault}: {_MEANINGS.get(fault, '')}", _share(count, numbers.used))
        for fault, count in numbers.faults.most_common()
    ]
    verified = [
        ("answers that verify", _share(numbers.answers["correct"], numbers.used)),
        ("answers stated, with no gold to check them by", _share(numbers.answers["no_gold"], numbers.used)),
        *((f"without NLL: {code}", count) for code, count in numbers.without_nll.items()),
        ("diversity D (eq. 10), over evenly spaced rows", "–" if diversity is None else f"{diversity:.4f}"),
    ]
    parts = [
        f"<h1>Audit of {html.escape(name)}</h1>",
        _table(("", ""), [*usable, *left, *verified]),
        "<h2>What is wrong</h2>",
        _table(("", "rows"), found) if found else "<p>Nothing was found.</p>",
        "<h2>NLL under π0, nats per token, and lengths</h2>",
        _quantiles(numbers),
        _plot(numbers.nll, "NLL under π0, nats per token", "rows"),
        _plot(numbers.tokens, "length, π0's tokens", "rows"),
        "<h2>The rows that π0 finds least likely</h2>",
        _rows(numbers.worst, texts),
    ]
    for fault, lines in numbers.listed.items():
        parts += [
            f"<h2>{html.escape(fault)}: the first {len(lines)} of {numbers.faults[fault]}</h2>",
            _rows(lines, texts),
        ]
    write_text(file, report(f"Audit of {name}", "\n".join(parts)))
    return file


def _rows(lines: Sequence[Mapping[str, Any]], texts: Mapping[int, tuple[str, str]]) -> str:
    table = []
    for line in lines:
        problem, response = texts.get(line["row"], ("", ""))
        said = [
            f"row {line['row']}, id {line['id']}",
            *([f"NLL {line['nll']:.3f}"] if line["nll"] is not None else []),
            *([f"states {line['said']}"] if line.get("said") else []),
            *(f"{key}: {line[key]}" for key in ("near_duplicate", "contaminated") if line[key]),
        ]
        table.append((", ".join(map(str, said)), _short(problem), _short(response)))
    return _table(("row", "problem", "response"), table, texts=True)


def _quantiles(numbers: AuditNumbers) -> str:
    columns = ("mean", "min", *(f"q{round(100 * q):02d}" for q in QUANTILES), "max")
    rows = []
    for name, values, digits in (("NLL", numbers.nll, 3), ("tokens", numbers.tokens, 0)):
        if found := summary(values):
            rows.append((name, *(f"{found[column]:.{digits}f}" for column in columns)))
    return _table(("", *columns), rows)


def _plot(values: Sequence[float], label: str, unit: str) -> str:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if not values:
        return f"<p>{html.escape(label)}: none was measured.</p>"
    figure, axes = pyplot.subplots(figsize=(7, 2.8), layout="constrained")
    axes.hist(values, bins=60)
    axes.set(xlabel=label, ylabel=unit)
    picture = io.BytesIO()
    figure.savefig(picture, dpi=110, format="png")
    pyplot.close(figure)
    code = base64.b64encode(picture.getvalue()).decode()
    return f'<p><img alt="{html.escape(label)}" src="data:image/png;base64,{code}"></p>'


def _table(head: Iterable[str], rows: Iterable[Sequence[Any]], *, texts: bool = False) -> str:
    def cell(value: Any) -> str:
        text = html.escape(str(value))
        return (
            f"<td><pre>{text}</pre></td>" if texts else f"<td{'' if isinstance(value, str) else ' class=n'}>{text}</td>"
        )

    top = "".join(f"<th>{html.escape(name)}</th>" if name else "<td></td>" for name in head)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    # A table wider than a small screen scrolls by itself, by keys too.
    return f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _share(count: int, of: int) -> str:
    return f"{count} ({count / of:.1%})" if of else str(count)


def _short(text: str) -> str:
    return text if len(text) <= _QUOTED else text[:_QUOTED] + " …"
