"""What an audit asks the service about a block of rows: the answer, the NLL, certain faults of the reasoning.

Promises: trouble of the service ends the audit with its rows kept (`ServiceTrouble`) and never becomes a verdict; what
is the text's own doing (too long for π0's window, blank, control tokens, a gold that cannot be read) is its code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rewright.clients.http_client import RewardClient
from rewright.clients.wire import RewrightError
from rewright.trainer.errors import ServiceTrouble

_OF_THE_TEXT = frozenset({"too_long", "blank", "control_tokens", "bad_gold"})
_CHECKS = {"variant": "task_only", "reasoning": "checks", "skip_unused": True}


class Asked(NamedTuple):
    """gold: None where the row has none of its own."""

    id: str
    problem: str
    response: str
    gold: str | None


class Told(NamedTuple):
    """answer: correct, wrong, undecided, no_answer, bad_gold, or `no_gold` where an answer is stated with nothing to
    check it by; said: the answer stated. nll: nats per token, with its tokens, or nll_missing says why there is none.
    fault: whether the reasoning fails for certain; None where no answer is stated."""

    answer: str
    said: str | None
    nll: float | None
    n_tokens: int | None
    nll_missing: str | None
    fault: bool | None


class Questions:
    """Bound to one client."""

    def __init__(self, client: RewardClient) -> None:
        self._client = client

    def about(self, rows: Sequence[Asked]) -> list[Told]:
        """One answer a row, in order. Raises `ServiceTrouble`."""
        if not rows:
            return []
        try:
            answers = self._answers(rows)
            nlls = self._items("nll", [{"id": r.id, "problem": r.problem, "candidates": [r.response]} for r in rows])
            faults = self._faults(rows, answers)
        except RewrightError as error:
            raise ServiceTrouble(f"{error.message}; what was scored is kept, run the same command again") from None
        told = []
        for row in rows:
            verdict, said = answers[row.id]
            nll = nlls[row.id]
            scored = nll.status == "scored"
            told.append(
                Told(
                    verdict,
                    said,
                    nll.nll if scored else None,
                    nll.n_tokens if scored else None,
                    None if scored else nll.error.code,
                    faults.get(row.id),
                )
            )
        return told

    def diversity(self, texts: Sequence[str]) -> float | None:
        """D (eq. 10) of the texts; None for fewer than two. Raises `ServiceTrouble`."""
        if len(texts) < 2:
            return None
        try:
            (group,) = self._client.diversity([{"id": "rows", "candidates": list(texts)}]).groups
        except RewrightError as error:
            raise ServiceTrouble(f"{error.message}; what was scored is kept, run the same command again") from None
        return group.diversity

    def _answers(self, rows: Sequence[Asked]) -> dict[str, tuple[str, str | None]]:
        groups = [
            {"id": r.id, "problem": r.problem, "reference": r.response, "answer": r.gold, "candidates": [r.response]}
            for r in rows
        ]
        found: dict[str, tuple[str, str | None]] = {}
        items = self._items("verify", groups)
        for row in rows:
            item = items[row.id]
            if item.status == "failed":
                # Without a gold it is the response itself that no answer can be read from.
                found[row.id] = ("bad_gold" if row.gold is not None else "no_answer", None)
            elif row.gold is None and item.extracted is not None:
                found[row.id] = ("no_gold", item.extracted)
            else:
                found[row.id] = (item.verdict, item.extracted)
        return found

    def _faults(self, rows: Sequence[Asked], answers: Mapping[str, tuple[str, str | None]]) -> dict[str, bool]:
        """The checks are asked with the stated answer as the gold, so that a wrong answer hides no false equation."""
        groups = [
            {
                "id": row.id,
                "problem": row.problem,
                "reference": f"Answer: {said}",
                "answer": said,
                "candidates": [row.response],
            }
            for row in rows
            if (said := answers[row.id][1])
        ]
        if not groups:
            return {}
        found = {}
        for group in self._client.reward(groups, rule=_CHECKS).groups:
            item = group.candidates[0]
            if item.status == "scored" and item.v_rea is not None:
                found[group.id] = item.v_rea == 0
        return found

    def _items(self, scorer: str, groups: list[Any]) -> dict[str, Any]:
        answer = self._client.verify(groups) if scorer == "verify" else self._client.nll(groups)
        items = {group.id: group.candidates[0] for group in answer.groups}
        for item in items.values():
            if item.status == "failed" and item.error.code not in _OF_THE_TEXT:
                raise ServiceTrouble(
                    f"{scorer} failed ({item.error.code}); what was scored is kept, run the same command again"
                )
        return items
