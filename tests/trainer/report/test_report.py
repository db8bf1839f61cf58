"""The report from run folders: what is found, what stands in which table, and what is said where nothing was run."""

import json

import pytest

from rewright.trainer.errors import RunFolderError
from rewright.trainer.evaluate.accuracy import against_base, averages, benchmark_result
from rewright.trainer.report import paper_numbers as paper
from rewright.trainer.report.page import html_of
from rewright.trainer.report.report import write_report
from rewright.trainer.report.runs import find_runs

MODEL = "meta-llama/Llama-3.2-3B-Instruct"


def origin(method, **more):
    if method is None:
        return {}
    return {"method": method, "backbone": {"model": MODEL}, "yield": 0.75, "data": {"rows": 40}, **more}


def write_evaluation(folder, method, correct, *, base=None, code=None, **more):
    """correct: right answers of 10 to each of two benchmarks."""
    row = {"finish_reason": "stop", "n_tokens": 5, "status": "scored"}
    rows = [row | {"correct": n < correct, "verdict": "correct" if n < correct else "wrong"} for n in range(10)]
    rows += [{**row, "status": "failed", "error": {"code": code}}] if code else []
    results = {name: benchmark_result(rows) for name in ("Math500", "MMLU")}
    content = {
        "kind": "evaluation",
        "origin": origin(method, **more),
        "backbone": MODEL,
        "questions": {"asked": 20, "left_out": {}, "sha256": "x"},
        "benchmarks": results,
        "averages": averages(results),
        "against_base": against_base(results, base) if base else None,
        "drift": {"kl": 0.5, "kl_interval": [0.25, 0.75]} if base else None,
    }
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(content))
    for name in ("verdicts", "generations"):
        (folder / f"{name}.jsonl").write_text(
            "".join(
                json.dumps(row | {"id": f"{benchmark}-{n}", "benchmark": benchmark}) + "\n"
                for benchmark in results
                for n, row in enumerate(rows)
            )
        )
    return results


def write_training(folder, method, losses, **more):
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "origin.json").write_text(json.dumps(origin(method, **more)))
    (folder / "loss.json").write_text(json.dumps([{"step": n + 1, "loss": loss} for n, loss in enumerate(losses)]))


def write_build(folder, method, share, **more):
    content = {
        "method": method, "success_only": False, "samples": 40, "rows": 40, "yield": share,
        "counts": {"rewrite": 30, "reference": 10}, "nll": {"rewrite": 0.4321, "reference": 0.9},
        "reference_nll": {"rewrite": 0.8, "reference": 0.9}, "nll_mean": 0.55, "reference_nll_mean": 0.825,
        "provenance": {"backbone": {"model": MODEL}}, "rewriter": None, **more,
    }  # fmt: skip
    folder.mkdir(parents=True)
    (folder / "build.json").write_text(json.dumps(content))


@pytest.fixture
def runs(tmp_path):
    folder = tmp_path / "runs"
    base = write_evaluation(folder / "e-base", None, 4)
    write_evaluation(folder / "e-sft", "sft", 5, base=base, code="bad_gold")
    for name, correct, more in (
        ("e-agent", 6, {"variant": "full", "group_size": 10}),
        ("e-agent-5", 5, {"variant": "full", "group_size": 5}),
        ("e-soft", 3, {"variant": "soft", "group_size": 10}),
        ("e-dist", 2, {"variant": "no_dist", "group_size": 10}),
        ("e-success", 5, {"variant": "full", "group_size": 10, "success_only": True}),
    ):
        write_evaluation(folder / name, "agent", correct, base=base, **more)
    write_training(folder / "t-sft", "sft", [2.0, 1.5, 1.25])
    write_training(folder / "t-agent", "agent", [1.0, 0.75, 0.5], variant="full")
    write_training(folder / "t-success", "sdft", [0.9, 0.8, 0.7], success_only=True)
    write_build(folder / "b-sdft", "sdft", 0.6)
    write_build(folder / "b-agent", "agent", 0.75, rewriter={"variant": "full", "group_size": 10})
    (folder / "killed").mkdir()
    (folder / "killed" / "generations.jsonl").write_text("")
    return folder


def section(text, title):
    return text.split(f"## {title}")[1].split("\n## ")[0]


def row(table, *cells):
    """The one row that begins with these cells."""
    (found,) = [line for line in table.splitlines() if line.startswith("| " + " | ".join(cells) + " |")]
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_every_table_has_our_runs_and_the_papers_like(runs, tmp_path):
    text = write_report([runs], tmp_path / "out").read_text()
    one = section(text, "Table 1")
    assert row(one, "SFT", "e-sft")[2:6] == [row(one, "SFT", "e-sft")[2], "+25.0", row(one, "SFT", "e-sft")[4], "-25.0"]
    assert row(one, "SFT", "e-sft")[2].startswith("50.0 ±") and "0.5000 (0.2500 to 0.7500)" in one
    assert row(one, "SFT", "paper, Table 1, Llama-3.2-3B-Instruct")[2:] == [
        "21.81",
        "+15.4",
        "37.26",
        "+17.6",
        "29.54",
        "",
    ]
    assert "Mistral" not in one and "Rewriting-agent (K = 5)" in one
    two = section(text, "Table 2")
    assert row(two, "SDFT", "b-sdft")[-3:] == ["60.0", "–", "30/40"]
    assert row(two, "SDFT", "paper, Table 2", "Llama-3.2-3B-Instruct")[-3] == "66.33"
    assert row(section(text, "NLL under"), "SDFT", "b-sdft", "rewrite")[3:6] == ["30", "0.432", "0.800"]
    assert row(section(text, "Table 3"), "without r_dist", "e-dist")[2].startswith("20.0 ±")
    assert row(section(text, "Table 3"), "task only", "paper, Table 3, Llama-3.2-3B-Instruct")[-1] == "78.25"
    assert row(section(text, "Table 4"), "success only", "e-success")[2] == "40"
    assert row(section(text, "Table 5"), "soft shaping", "e-soft")[-1] == "75.0"
    assert "1 not verified" in row(section(text, "Table 6"), f"SFT, {MODEL}", "e-sft")[5]
    assert row(section(text, "Table 7"), "soft shaping", "e-soft")[5].startswith("30.0 (")
    assert "left out: killed" in text and "16.36 in Table 1" in text


def test_figures_are_drawn_and_their_numbers_said(runs, tmp_path):
    text = write_report([runs], tmp_path / "out").read_text()
    for name in ("figure-2-0.png", "figure-3-0.png", "figure-4.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG") and f"({name})" in text
    assert row(section(text, "Figure 2"), "Rewriting-agent") == ["Rewriting-agent", "3", "1.0000", "0.5000"]


def test_what_was_not_run_is_said(tmp_path):
    write_build(tmp_path / "b", "sdft", 0.5)
    text = write_report([tmp_path / "b"], tmp_path / "out").read_text()
    for number in (1, 3, 4, 5, 6, 7):
        assert "No runs for this table." in section(text, f"Table {number}")
    for number in (2, 3, 4):
        assert "No runs for this figure" in section(text, f"Figure {number}")


def test_shards_are_no_builds_of_their_own_and_a_folder_counts_once(runs):
    write_build(runs / "b-sdft" / "shards" / "0-of-2", "sdft", 0.1)
    assert len(find_runs([runs, runs / "b-sdft"]).builds) == 2


def test_what_cannot_be_reported_is_said(tmp_path):
    with pytest.raises(RunFolderError, match="no folder"):
        find_runs([tmp_path / "absent"])
    with pytest.raises(RunFolderError, match="no finished"):
        find_runs([tmp_path])
    (tmp_path / "build.json").write_text("{")
    with pytest.raises(RunFolderError, match="cannot be read"):
        find_runs([tmp_path])


def test_the_papers_tables_agree_but_for_the_disagreements_that_are_named():
    differing = []
    for backbone, methods in paper.TABLE_6.items():
        for method, values in methods.items():
            printed = paper.TABLE_1[backbone][method]
            for name, mean, said in (
                ("math", sum(values[:5]) / 5, printed.math),
                ("general", sum(values[5:]) / 3, printed.general),
            ):
                if abs(mean - said) > 0.02:
                    differing.append((backbone, method, name))
    assert differing == [(paper.LLAMA_3B, "agent", "general"), (paper.MISTRAL_7B, "sft", "math")]


def claims(runs):
    page = write_report([runs], runs / "out").read_text()
    return page.partition("## What was gained and lost")[2].partition("\n## ")[0]


def test_claims_are_paired_and_seeds_are_one_method(runs):
    base = json.loads((runs / "e-base" / "results.json").read_text())["benchmarks"]
    write_evaluation(runs / "e-sft-2", "sft", 3, base=base)
    write_evaluation(runs / "e-sdft", "sdft", 4, base=base)
    for name, right in (("e-base", 8), ("e-sft", 4), ("e-sft-2", 6)):
        rows = [{"id": str(n), "benchmark": "MMLU", "right": {"letters": n < right}} for n in range(10)]
        (runs / name / "likelihoods.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = claims(runs)
    rows = {
        line.split(" | ")[0].strip("| "): line.strip("| ").split(" | ") for line in said.splitlines() if "|" in line
    }
    assert rows["SFT"][1] == "2" and rows["SFT"][2].startswith("+0.0 (")  # 5 and 3 against 4 of 10
    assert rows["Rewriting-agent (K = 10)"][2].startswith("+50.0 (") and rows["SDFT"][2].startswith("+0.0")
    assert rows["SFT"][4].startswith("+37.5 (") and rows["SDFT"][4] == "–"  # 5 on average against 8
    assert "− SFT" in said and "− SDFT" in said and "over the 20 questions" in said
    assert "Gen↓ of SFT minus that of the agent is +50.0 " in said and "+12.35 over its three backbones" in said


def test_runs_that_were_asked_or_graded_otherwise_are_not_compared(runs):
    file = runs / "e-sft" / "results.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"grading": "other"}))
    said = claims(runs)
    assert "left out: e-sft." in said and "| SFT |" not in said and "Headline" not in said
    (runs / "e-base" / "verdicts.jsonl").unlink()
    assert "No runs for this table" in claims(runs)


def test_yields_are_told_apart_and_the_cost_is_a_line_of_equal_rollouts(tmp_path):
    attempts = {
        "self_solve": {"written": 48, "passed": 10, "tokens": 4_000},
        "rewrite": {"written": 38, "passed": 18, "tokens": 6_000},
    }
    counts = {"self_solve": 10, "rewrite": 18, "reference": 20}
    matched = {"rows": 28, "nll": 0.5, "reference_nll": 0.6, "difference": -0.1, "interval": [-0.2, -0.05]}
    write_build(
        tmp_path / "gap", "mind_the_gap", 28 / 48, samples=48, rows=48, counts=counts, attempts=attempts,
        tokens_written=10_000, nll_matched=matched,
    )  # fmt: skip
    rewriter = {"variant": "full", "group_size": 10, "stage_one": {"rollouts": 480, "tokens": 50_000}}
    rewrites = {"rewrite": {"written": 48, "passed": 30, "tokens": 9_000}}
    write_build(
        tmp_path / "agent", "agent", 0.6, samples=48, attempts=rewrites, tokens_written=9_000, rewriter=rewriter
    )
    trained = {"rows": 48, "tokens": 20_000}
    write_training(tmp_path / "sft-agent", "agent", [1.0], variant="full", group_size=10, data=trained)
    page = write_report([tmp_path], tmp_path / "out").read_text()
    assert "| Mind the Gap | gap | meta-llama/Llama-3.2-3B-Instruct | 48 | 58.3 | 10/48 | 18/38 |" in page
    assert "| written, at matched length | 28 | 0.500 | 0.600 | -0.100 | -0.200 to -0.050 |" in page
    assert "| Mind the Gap | gap | 48 | 0 | 86 | 1.8 | 10,000 | – | – |" in page
    assert "| Rewriting-agent | agent | 48 | 480 | 48 | 11.0 | 9,000 | 129,000 | 70,000 |" in page


def test_the_page_holds_what_the_markdown_and_the_figures_do(runs, tmp_path):
    text = write_report([runs], tmp_path / "out").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<table>") >= 7 and "<h2>Table 1" in page
    assert page.count("data:image/png;base64,") == text.count("](figure-") > 0
    assert 'class="n"' in page and "style=" not in page


def test_the_page_shows_names_as_text(tmp_path):
    page = html_of("# R\n\n| a |\n|---:|\n| <script>alert(1)</script> |\n\n<img src=x onerror=alert(1)>\n", tmp_path)
    assert "&lt;script&gt;" in page and "<script" not in page and "<img" not in page
