"""The rows of an audit as numbers: counts, quantiles, and the rows worst by each."""

import heapq
import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass
class AuditNumbers:
    """reasons: of rows of no use; answers: by verdict; worst: by NLL, highest first; listed: the first rows of each
    fault. nll in nats per token, tokens π0's with the end of turn."""

    rows: int = 0
    used: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    without_nll: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    nll: "array[float]" = field(default_factory=lambda: array("d"))
    tokens: "array[int]" = field(default_factory=lambda: array("q"))
    worst: list[dict[str, Any]] = field(default_factory=list)
    listed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "used": self.used,
            "left_out": dict(self.reasons),
            "answers": dict(self.answers),
            "without_nll": dict(self.without_nll),
            "faults": dict(self.faults),
            "nll": summary(self.nll),
            "tokens": summary(self.tokens),
            "worst": [{"row": line["row"], "id": line["id"], "nll": line["nll"]} for line in self.worst],
        }


def numbers_of(rows: Path, *, shown: int) -> AuditNumbers:
    """shown: how many rows are listed of each kind."""
    found = AuditNumbers()
    worst: list[tuple[float, int, dict[str, Any]]] = []
    with rows.open("rb") as lines:
        for raw in lines:
            line = json.loads(raw)
            found.rows += 1
            if line.get("reason"):
                found.reasons[line["reason"]] += 1
                continue
            found.used += 1
            found.answers[line["answer"]] += 1
            if line["nll"] is None:
                found.without_nll[line["nll_missing"]] += 1
            else:
                found.nll.append(line["nll"])
                found.tokens.append(line["n_tokens"])
                push = heapq.heappush if len(worst) < shown else heapq.heappushpop
                push(worst, (line["nll"], -line["row"], line))
            for fault in _faults(line):
                found.faults[fault] += 1
                if len(some := found.listed.setdefault(fault, [])) < shown:
                    some.append(line)
    found.worst = [line for _, _, line in sorted(worst, reverse=True, key=lambda w: w[:2])]
    return found


def summary(values: "array[Any]") -> dict[str, float] | None:
    """Mean and quantiles; None for nothing."""
    if not values:
        return None
    ordered = sorted(values)
    cuts = quantiles(ordered, n=100, method="inclusive") if len(ordered) > 1 else [ordered[0]] * 99
    shown = {f"q{round(100 * q):02d}": float(cuts[round(100 * q) - 1]) for q in QUANTILES}
    return {"mean": sum(ordered) / len(ordered), "min": float(ordered[0]), **shown, "max": float(ordered[-1])}


def _faults(line: dict[str, Any]) -> list[str]:
    found = [f"answer {line['answer']}"] if line["answer"] not in ("correct", "no_gold") else []
    found += ["certain fault"] if line["fault"] else []
    return found + [name for name in ("near_duplicate", "contaminated") if line[name]]
