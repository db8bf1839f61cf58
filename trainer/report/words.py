"""Methods as the report names and orders them, and its tables."""

from collections.abc import Sequence

from rewright.trainer.report import paper_numbers as paper

NAMES = {
    "base": "base",
    "sft": "SFT",
    "sdft": "SDFT",
    "mind_the_gap": "Mind the Gap",
    "mind_the_gap_guided": "Mind the Gap, guided",
    "agent": "Rewriting-agent",
    "select": "best of K",
    "other": "other data",
    "full": "full",
    "no_dist": "without r_dist",
    "no_div": "without r_div",
    "task_only": "task only",
    "soft": "soft shaping",
    "success_only": "success only",
    "fallback": "with fallback",
}
METHOD_ORDER = (*paper.METHODS, "mind_the_gap_guided", "select", "other")


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
