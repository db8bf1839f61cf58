"""The paper's tables from our runs, as Markdown, each with the paper's own rows beside where it has a like.

Promises: a number of ours is never without its run; a number of the paper's is never without its table; what was not
run is said. Averages are over the benchmarks that were asked, which the table names where they are not all of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rewright.trainer.report import paper_numbers as paper
from rewright.trainer.report.claims import claims
from rewright.trainer.report.cost import cost_table
from rewright.trainer.report.runs import Run, Runs
from rewright.trainer.report.words import METHOD_ORDER, NAMES, markdown_table
from rewright.trainer.runs.number_format import number, percent

_MISSING = "No runs for this table."


def table_1(runs: Runs) -> str:
    """Main results: averages, what was gained and lost, and the drift, by backbone and method."""
    parts = []
    for backbone in runs.backbones():
        mine = _by_method(run for run in runs.evaluations if run.backbone == backbone and run.is_main)
        if not mine:
            continue
        rows = [[*_named(run, mine), *_averages(run), *_moved(run)] for run in mine]
        for name in _likes(backbone):
            for method, printed in paper.TABLE_1[name].items():
                up, down = number(printed.math_up), number(printed.gen_down)
                values = [f"{printed.math:.2f}", up, f"{printed.general:.2f}", down, f"{printed.overall:.2f}", ""]
                rows.append([NAMES[method], f"paper, Table 1, {name}", *values])
        head = ["method", "run", "MathAvg", "Math↑ %", "GeneralAvg", "Gen↓ %", "OverallAvg", "KL from base, nats/token"]
        parts.append(f"Backbone {backbone}\n\n{markdown_table(head, rows)}\n\n{_over(mine)}")
    return "\n\n".join(parts) or _MISSING


def table_2(runs: Runs) -> str:
    """Task-consistency yield, with the NLL under π0 of what was kept and of the references of the same rows."""
    mine = _by_method(run for run in runs.builds if run.method != "sft" and run.is_main)
    if not mine:
        return _MISSING
    rows = []
    for run in mine:
        said = run.content
        apart = _yields(said["counts"], said["samples"])
        rows.append([*_named(run, mine), run.backbone, str(said["samples"]), percent(said["yield"]), *apart])
    for method, printed in paper.TABLE_2.items():
        for name, share in printed.items():
            rows.append([NAMES[method], "paper, Table 2", name, "50000", f"{share:.2f}", "", ""])
    head = ["method", "run", "backbone", "problems", "yield %", "self-solved", "rewritten, of the rest"]
    return markdown_table(head, rows)


def _yields(counts: dict[str, int], samples: int) -> list[str]:
    """Self-solves, and rewrites (guided ones, too) of the problems that were not solved: counted together, a backbone
    that can solve much looks like a good rewriter."""
    solved = counts.get("self_solve", 0)
    rewritten = counts.get("rewrite", 0) + counts.get("guided_solve", 0)
    rest = samples - solved
    return [f"{solved}/{samples}" if solved else "–", f"{rewritten}/{rest}" if rest else "–"]


def nll_table(runs: Runs) -> str:
    """What SFT trains on, by origin: NLL under π0 given the problem alone, in nats per token (eq. 6)."""
    rows = []
    for run in _by_method(run for run in runs.builds if not run.success_only):
        content = run.content
        for origin, count in content["counts"].items():
            nll, reference = content["nll"].get(origin), content["reference_nll"].get(origin)
            rows.append([*_named(run, runs.builds), origin, str(count), _nats(nll), _nats(reference), "", ""])
        before_after = [_nats(content.get(key)) for key in ("nll_mean", "reference_nll_mean")]
        rows.append([*_named(run, runs.builds), "all", str(content["rows"]), *before_after, "", ""])
        if (matched := content.get("nll_matched")) is not None:
            low, high = (f"{end:+.3f}" for end in matched["interval"] or (float("nan"), float("nan")))
            values = [_nats(matched["nll"]), _nats(matched["reference_nll"])]
            difference = [f"{matched['difference']:+.3f}", f"{low} to {high}"]
            name = [*_named(run, runs.builds), "written, at matched length"]
            rows.append([*name, str(matched["rows"]), *values, *difference])
    if not rows:
        return _MISSING
    case = ", ".join(f"{name} {value:.2f}" for name, value in paper.CASE_STUDY.items())
    head = [
        "method",
        "run",
        "origin of the row",
        "rows",
        "NLL of what is trained on",
        "NLL of the same rows' references",
        "difference",
        "95 % interval",
    ]
    said = f"The paper gives one problem's losses (appendix F): {case}."
    matched = "At matched length, what was written is compared with references of any row in the same bin of length."
    return f"{markdown_table(head, rows)}\n\n{said} {matched}"


def table_3(runs: Runs) -> str:
    """Reward ablation."""
    return _ablation(runs, paper.TABLE_3, "Table 3")


def table_5(runs: Runs) -> str:
    """Hard gate against soft shaping."""
    return _ablation(runs, paper.TABLE_5, "Table 5")


def table_4(runs: Runs) -> str:
    """Fallback against success only."""
    mine = [r for r in runs.evaluations if r.method == "agent" and r.variant == "full"]
    if not any(run.success_only for run in mine):
        return _MISSING
    rows = []
    for run in sorted(mine, key=lambda r: r.success_only):
        construction = NAMES["success_only" if run.success_only else "fallback"]
        trained = run.origin.get("data", {}).get("rows", "–")
        rows.append([construction, run.folder.name, str(trained), *_math_and_general(run)])
    for key, printed in paper.TABLE_4.items():
        values = [str(printed.rows), f"{printed.math:.2f}", f"{printed.general:.2f}"]
        rows.append([NAMES[key], f"paper, Table 4, {paper.LLAMA_3B}", *values])
    return markdown_table(["construction", "run", "rows", "MathAvg", "GeneralAvg"], rows)


def table_6(runs: Runs) -> str:
    """Main results by benchmark."""
    mine = _by_method(run for run in runs.evaluations if run.is_main)
    if not mine:
        return _MISSING
    rows = [[f"{NAMES[run.method]}, {run.backbone}", run.folder.name, *_by_benchmark(run)] for run in mine]
    names = sorted({name for run in mine for name in _likes(run.backbone)}, key=paper.BACKBONES.index)
    for name in names:
        for method, values in paper.TABLE_6[name].items():
            rows.append([f"{NAMES[method]}, {name}", "paper, Table 6", *(f"{value:.2f}" for value in values)])
    return markdown_table(["model", "run", *paper.BENCHMARKS], rows)


def table_7(runs: Runs) -> str:
    """Ablations by benchmark."""
    mine = [run for run in runs.evaluations if run.method == "agent"]
    if not any(not run.is_main for run in mine):
        return _MISSING
    rows = [[_variant(run), run.folder.name, *_by_benchmark(run)] for run in mine]
    for key, values in paper.TABLE_7.items():
        rows.append([NAMES[key], f"paper, Table 7, {paper.LLAMA_3B}", *(f"{value:.2f}" for value in values)])
    return markdown_table(["variant", "run", *paper.BENCHMARKS], rows)


TABLES: tuple[tuple[str, Callable[[Runs], str]], ...] = (
    ("Table 1: main results", table_1),
    ("What was gained and lost, and by how much methods differ", claims),
    ("Table 2: task-consistency yield", table_2),
    ("NLL under π0 of what SFT trains on", nll_table),
    ("What each method cost", cost_table),
    ("Table 3: reward ablation", table_3),
    ("Table 4: fallback against success only", table_4),
    ("Table 5: hard gate against soft shaping", table_5),
    ("Table 6: main results by benchmark", table_6),
    ("Table 7: ablations by benchmark", table_7),
)


def _ablation(runs: Runs, printed: dict[str, paper.Ablation], table: str) -> str:
    mine = [r for r in runs.evaluations if r.method == "agent" and r.variant in printed and not r.success_only]
    if not any(run.variant != "full" for run in mine):
        return _MISSING
    rows = []
    for variant, p in printed.items():
        for run in (run for run in mine if run.variant == variant):
            rows.append([NAMES[variant], run.folder.name, *_math_and_general(run), percent(run.origin.get("yield"))])
        values = [f"{p.math:.2f}", f"{p.general:.2f}", f"{p.task_yield:.2f}"]
        rows.append([NAMES[variant], f"paper, {table}, {paper.LLAMA_3B}", *values])
    return markdown_table(["variant", "run", "MathAvg", "GeneralAvg", "yield %"], rows)


def _by_method(runs: Any) -> list[Run]:
    return sorted(runs, key=lambda r: (r.backbone, METHOD_ORDER.index(r.method), r.group_size or 0, r.folder.name))


def _named(run: Run, among: Sequence[Run]) -> list[str]:
    sizes = {other.group_size for other in among if other.method == "agent"}
    k = f" (K = {run.group_size})" if run.method == "agent" and len(sizes) > 1 else ""
    variant = f", {NAMES[run.variant]}" if run.variant != "full" else ""
    return [NAMES[run.method] + k + variant, run.folder.name]


def _variant(run: Run) -> str:
    return NAMES["success_only"] if run.success_only else NAMES[run.variant]


def _likes(backbone: str) -> Sequence[str]:
    """The paper's like of a backbone; all of its backbones where it has none."""
    one = paper.like(backbone)
    return paper.BACKBONES if one is None else (one,)


def _averages(run: Run) -> list[str]:
    averages, against = run.content["averages"], run.content["against_base"] or {}
    math, general = (_with_width(averages[name]) for name in ("MathAvg", "GeneralAvg"))
    up, down = number(against.get("math_up")), number(against.get("gen_down"))
    return [math, up, general, down, percent(averages["OverallAvg"])]


def _math_and_general(run: Run) -> list[str]:
    return [_with_width(run.content["averages"][name]) for name in ("MathAvg", "GeneralAvg")]


def _with_width(average: dict[str, Any]) -> str:
    if average["value"] is None:
        return "–"
    return f"{percent(average['value'])} ± {percent(average['half_width'])}"


def _moved(run: Run) -> list[str]:
    drift = run.content["drift"]
    return [f"{drift['kl']:.4f} ({drift['kl_interval'][0]:.4f} to {drift['kl_interval'][1]:.4f})" if drift else "–"]


def _by_benchmark(run: Run) -> list[str]:
    results = run.content["benchmarks"]
    return [_cell(results.get(name)) for name in paper.BENCHMARKS]


def _cell(result: dict[str, Any] | None) -> str:
    if result is None:
        return "–"
    low, high = result["interval"]
    apart = sum(result["not_verified"].values())
    return f"{percent(result['accuracy'])} ({percent(low)}–{percent(high)})" + (
        f" {apart} not verified" if apart else ""
    )


def _over(runs: Sequence[Run]) -> str:
    averages = runs[0].content["averages"]
    math, general = (", ".join(averages[name]["benchmarks"]) or "none" for name in ("MathAvg", "GeneralAvg"))
    asked = runs[0].content["questions"]["asked"]
    half = "± is half of a 95 % interval"
    return f"Ours are over {asked} questions; MathAvg over {math}; GeneralAvg over {general}; {half}."


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
