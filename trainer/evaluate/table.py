"""One evaluation as a Markdown page."""

from collections.abc import Mapping
from typing import Any

from rewright.trainer.runs.number_format import number, percent


def as_markdown(summary: Mapping[str, Any]) -> str:
    asked = summary["questions"]
    left_out = ", ".join(f"{n} {reason}" for reason, n in asked["left_out"].items()) or "none"
    lines = [
        f"# {summary['adapter'] or summary['backbone']}",
        "",
        f"{asked['asked']} questions asked, left out: {left_out}. Intervals are 95 % (Wilson).",
        "",
        "| benchmark | accuracy | interval | right | verified | not verified | cut off | mean tokens |",
        "|---|---:|---|---:|---:|---|---:|---:|",
    ]
    for name, r in summary["benchmarks"].items():
        low, high = r["interval"]
        failed = ", ".join(f"{n} {code}" for code, n in r["not_verified"].items()) or "0"
        wrong = r["scored"] - r["correct"] - r["unstated"]
        lines.append(
            f"| {name} | {percent(r['accuracy'])} | {percent(low)} to {percent(high)} | {r['correct']} | {wrong} "
            f"| {r['unstated']} | {r['unstated_cut_off']} | {failed} | {r['cut_off']} | {r['mean_tokens']:.0f} |"
        )
    lines += _likelihood(summary["likelihood"])
    averages = summary["averages"]
    lines.append("")
    for name in ("MathAvg", "GeneralAvg"):
        average = averages[name]
        over = ", ".join(average["benchmarks"]) or "no benchmark of its kind"
        width = f" ± {percent(average['half_width'])}" if average["half_width"] is not None else ""
        lines.append(f"- {name} {percent(average['value'])}{width}, over {over}")
    lines.append(f"- OverallAvg {percent(averages['OverallAvg'])}")
    if (against := summary["against_base"]) is not None:
        lines.append(f"- Math↑ {number(against['math_up'])} %, Gen↓ {number(against['gen_down'])} % of the base run's")
    if (drift := summary["drift"]) is not None:
        low, high = drift["kl_interval"]
        lines.append(
            f"- drift from the base: KL {drift['kl']:.4f} nats per token ({low:.4f} to {high:.4f}), NLL of its own "
            f"words {drift['nll_drift']:+.4f}, over {drift['tokens']} tokens of {drift['prompts']} general answers"
        )
    return "\n".join(lines) + "\n"


def _likelihood(likelihood: Mapping[str, Any]) -> list[str]:
    if not likelihood:
        return []
    lines = [
        "",
        "The likeliest option, nothing written (as lm-eval's acc and acc_norm):",
        "",
        "| benchmark | letters, acc | texts, acc | texts, acc_norm | questions |",
        "|---|---|---|---|---:|",
    ]
    for name, r in likelihood.items():
        cells = [
            f"{percent(one['accuracy'])} ({percent(one['interval'][0])} to {percent(one['interval'][1])})"
            for one in (r["letters"], r["texts"], r["texts_norm"])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {r['letters']['questions']} |")
    return lines
